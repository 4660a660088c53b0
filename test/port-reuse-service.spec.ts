import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { portReuse, reuseportTcp } from '../src/index.ts'
import { REUSES_PORTS, where } from './fixtures/system.ts'
import { startNode } from './kit/node.ts'
import { until } from './kit/wait.ts'
import type { PortReuseService } from '../src/index.ts'
import type { Libp2p } from '@libp2p/interface'

/** Real nodes on loopback. What peers observe is made up, as no address here is public */
describe('portReuse()', () => {
  const nodes: Libp2p[] = []

  async function start (options = {}): Promise<Libp2p<{ portReuse: PortReuseService }>> {
    const node = await startNode({ services: { portReuse: portReuse() }, ...options })
    nodes.push(node)

    return node
  }

  afterEach(async () => {
    await Promise.all(nodes.splice(0).map(async node => node.stop()))
  })

  where(REUSES_PORTS).it('tells how ports are reused, and where connections were dialed from', async () => {
    const [node, peer, stock] = [await start(), await start(), await start({ transports: [tcp()], services: {} })]
    const [local] = node.getMultiaddrs().map(ma => ma.decapsulate('/p2p'))
    const [theirs] = peer.getMultiaddrs()
    const { portReuse: service } = node.services

    expect(service.support()).to.have.property('available', true)
    const reused = service.sourcePort(await node.dial(theirs))
    expect({ ...reused, localAddr: `${reused?.localAddr}` }).to.deep.equal({ kind: 'reused', rule: 'loopback', localAddr: `${local}` })
    expect(service.sourcePort(await node.dial(theirs, { force: true }))).to.include({ kind: 'ephemeral', why: 'unusable' })

    // not from here
    await stock.dial(node.getMultiaddrs())
    await until(() => node.getConnections(stock.peerId).length === 1)
    expect(node.getConnections(stock.peerId).map(connection => service.sourcePort(connection))).to.deep.equal([undefined])
  })

  where(REUSES_PORTS).it('tells what peers observe, to those who listened before the start, too, and after a restart', async () => {
    const peer = await start()
    const node = await start({ start: false })
    const { portReuse: service } = node.services
    const told: string[] = []

    service.addEventListener('external-address:found', ({ detail }) => { told.push(`found ${detail.external}`) })
    service.addEventListener('external-address:gone', ({ detail }) => { told.push(`gone ${detail.external}`) })

    for (const address of ['/ip4/11.0.0.9/tcp/4001', '/ip4/11.0.0.9/tcp/4002']) {
      await node.start()
      const connection = await node.dial(peer.getMultiaddrs())
      const { components }: any = node
      components.events.safeDispatchEvent('peer:identify', { detail: { connection, observedAddr: multiaddr(address) } })
      expect(service.observed().flatMap(({ addresses }) => addresses.map(({ multiaddr }) => `${multiaddr}`))).to.deep.equal([address])
      await node.stop()
    }

    expect(told).to.deep.equal(['found /ip4/11.0.0.9/tcp/4001', 'gone /ip4/11.0.0.9/tcp/4001', 'found /ip4/11.0.0.9/tcp/4002', 'gone /ip4/11.0.0.9/tcp/4002'])
  })

  it('needs the transport of this package', async () => {
    await expect(start({ transports: [tcp()] })).to.eventually.be.rejectedWith('portReuse() needs reuseportTcp() among the transports')
      .with.property('name', 'InvalidParametersError')
  })

  it('has no options', () => {
    const init: any = { reusePort: true }

    expect(() => portReuse(init)).to.throw('options has no option "reusePort". There are none').with.property('name', 'InvalidParametersError')
  })

  it('has to be called, as the transport', async () => {
    const uncalled: any = { transports: [reuseportTcp], services: { portReuse } }

    await expect(start({ transports: uncalled.transports })).to.eventually.be.rejectedWith('reuseportTcp got the components of libp2p instead of options. Write reuseportTcp() instead of reuseportTcp')
      .with.property('name', 'InvalidParametersError')
    await expect(start({ services: uncalled.services })).to.eventually.be.rejectedWith('Write portReuse() instead of portReuse')
  })
})
