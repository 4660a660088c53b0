import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { TypedEventEmitter } from 'main-event'
import pDefer from 'p-defer'
import { startServer } from '../fixtures/server.ts'
import { createTransport, rawUpgrader } from '../fixtures/transport.ts'
import type { RawConnection } from '../../src/index.ts'
import type { TestTransport } from '../fixtures/transport.ts'
import type { Libp2pEvents, MultiaddrConnection } from '@libp2p/interface'

const PEER = '12D3KooWJRSrypvnpHgc6ZAgyCni4KcSmbV7uGRaMw5LgMKT18fq'

/**
 * Connections are real ones, to peers at different loopback addresses; what the
 * peers say in identify is made up, as no address here is public
 */
describe('observed addresses', () => {
  const cleanup: Array<() => Promise<unknown>> = []
  let events: TypedEventEmitter<Libp2pEvents>
  let handedOver: string[]
  let local: TestTransport
  let port: number

  beforeEach(async () => {
    events = new TypedEventEmitter()
    handedOver = []
    local = createTransport({}, { events, addressManager: { addObservedAddr: ma => { handedOver.push(ma.toString()) } } })
    cleanup.push(async () => local.stop())
    port = (await local.listen('/ip4/0.0.0.0/tcp/0')).port
  })

  afterEach(async () => {
    await Promise.all(cleanup.splice(0).map(async fn => fn()))
  })

  async function connectTo (host: string, options = {}): Promise<RawConnection> {
    const server = await startServer(host)
    cleanup.push(async () => server.stop())

    return (await local.connect(`/ip4/${host}/tcp/${server.port}`, options)).connection
  }

  function identify ({ timeline }: MultiaddrConnection, observedAddr: string): void {
    events.safeDispatchEvent('peer:identify', {
      detail: { connection: { timeline }, observedAddr: multiaddr(observedAddr) } as any
    })
  }

  function observed (): any {
    return local.transport.observed().map(({ local, mapping, addresses }) => ({
      local: local.toString(),
      mapping,
      addresses: addresses.map(({ multiaddr, observers }) => `${multiaddr} ${observers}`)
    }))
  }

  it('are handed to the address manager once, when four observers agree', async () => {
    for (let i = 1; i <= 6; i++) {
      expect(handedOver).to.have.lengthOf(i <= 4 ? 0 : 1)
      identify(await connectTo(`127.0.0.${i}`), `/ip4/11.0.0.9/tcp/4001/p2p/${PEER}`)
    }

    expect(handedOver).to.deep.equal(['/ip4/11.0.0.9/tcp/4001'])
    expect(observed()).to.deep.equal([{
      local: `/ip4/0.0.0.0/tcp/${port}`,
      mapping: 'endpoint-independent',
      addresses: ['/ip4/11.0.0.9/tcp/4001 6']
    }])
  })

  it('show a NAT that maps us to another port for each peer', async () => {
    for (let i = 1; i <= 4; i++) {
      identify(await connectTo(`127.0.0.${i}`), `/ip4/11.0.0.9/tcp/${5000 + i}`)
    }

    expect(observed()[0]).to.have.property('mapping', 'endpoint-dependent')
    expect(handedOver).to.be.empty()
  })

  it('are only those of connections from a listening port', async () => {
    identify(await connectTo('127.0.0.1', { reusePort: false }), '/ip4/11.0.0.9/tcp/4001')

    expect(observed()).to.be.empty()
  })

  it('come from inbound connections as well', async () => {
    const accepted = pDefer<MultiaddrConnection>()
    const peer = createTransport()
    cleanup.push(async () => peer.stop())
    const { port } = await local.listen('/ip4/127.0.0.1/tcp/0', rawUpgrader(connection => { accepted.resolve(connection) }))
    await peer.connect(`/ip4/127.0.0.1/tcp/${port}`)
    identify(await accepted.promise, '/ip4/11.0.0.9/tcp/4001')

    expect(observed()).to.deep.equal([{ local: `/ip4/127.0.0.1/tcp/${port}`, mapping: 'unknown', addresses: ['/ip4/11.0.0.9/tcp/4001 1'] }])
  })

  it('are not those of a connection that has closed already', async () => {
    const connection = await connectTo('127.0.0.1')
    connection.abort(new Error('closed'))
    identify(connection, '/ip4/11.0.0.9/tcp/4001')

    expect(observed()).to.be.empty()
  })

  it('are not those of another connection to the same peer, from an ephemeral port', async () => {
    const server = await startServer('127.0.0.1')
    cleanup.push(async () => server.stop())
    const address = `/ip4/127.0.0.1/tcp/${server.port}`

    identify((await local.connect(address)).connection, '/ip4/11.0.0.9/tcp/4001')
    const { connection, source } = await local.connect(address)
    expect(source).to.have.property('reason', 'ephemeral')
    identify(connection, '/ip4/11.0.0.9/tcp/55555')

    expect(observed()[0].addresses).to.deep.equal(['/ip4/11.0.0.9/tcp/4001 1'])
  })

  it('are public TCP addresses of the same family, or ignored', async () => {
    const connection = await connectTo('127.0.0.1')

    for (const addr of ['/ip4/127.0.0.1/tcp/4001', '/ip4/10.0.0.1/tcp/4001', '/ip4/224.0.0.1/tcp/4001', '/ip4/11.0.0.9/tcp/0', '/ip4/11.0.0.9/udp/4001', '/ip6/2b00::1/tcp/4001', '/dns4/example.com/tcp/4001', '/ip4/11.0.0.9/tcp/4001/ws']) {
      identify(connection, addr)
    }

    expect(observed()).to.be.empty()
  })
})
