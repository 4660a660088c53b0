import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { expect } from 'aegir/chai'
import { pEvent } from 'p-event'
import { reuseportTcp } from '../../src/index.ts'
import { REUSES_PORTS, where } from '../fixtures/system.ts'
import { portOf } from '../kit/addresses.ts'
import { startNode } from '../kit/node.ts'
import { portReuse } from '../kit/port-reuse.ts'
import type { Connection, Libp2p, ServiceMap } from '@libp2p/interface'
import type { Libp2pOptions } from 'libp2p'

describe('whole nodes', () => {
  const nodes: Libp2p[] = []

  afterEach(async () => {
    await Promise.all(nodes.splice(0).map(async node => node.stop()))
  })

  async function start <T extends ServiceMap> (options: Libp2pOptions<T>): Promise<Libp2p<T>> {
    const node = await startNode({ connectionGater: { denyDialMultiaddr: () => false }, ...options })
    nodes.push(node as Libp2p)

    return node
  }

  function portsOf (node: Libp2p): number[] {
    return node.getMultiaddrs().map(portOf)
  }

  async function inboundFrom (listener: Libp2p, dialer: Libp2p): Promise<Connection> {
    const open = listener.getConnections(dialer.peerId)[0]

    return open ?? (await pEvent<'connection:open', CustomEvent<Connection>>(listener as any, 'connection:open', {
      filter: ({ detail }) => detail.remotePeer.equals(dialer.peerId)
    })).detail
  }

  for (const host of ['/ip4/127.0.0.1', '/ip6/::1', '/ip4/0.0.0.0', '/ip6/::']) {
    where(REUSES_PORTS).it(`are seen at the port they listen on at ${host}, and observed there`, async () => {
      const listener = await start({ addresses: { listen: [`${host}/tcp/0`] }, services: { identify: identify(), ping: ping() } })
      const dialer = await start({ addresses: { listen: [`${host}/tcp/0`] }, services: { identify: identify(), ping: ping() } })
      const loopback = host.startsWith('/ip4') ? '/ip4/127.0.0.1' : '/ip6/::1'
      const addr = listener.getMultiaddrs().find(ma => ma.toString().startsWith(loopback))

      if (addr == null) {
        throw new Error('The listener has no loopback address')
      }

      const identified = pEvent<'peer:identify', CustomEvent>(dialer as any, 'peer:identify')
      await dialer.dial(addr)

      const inbound = await inboundFrom(listener, dialer)
      expect(portOf(inbound.remoteAddr)).to.be.oneOf(portsOf(dialer))
      expect(portOf((await identified).detail.observedAddr)).to.be.oneOf(portsOf(dialer))
      expect(await dialer.services.ping.ping(listener.peerId)).to.be.a('number')
    })
  }

  where(REUSES_PORTS).it('talk to nodes with @libp2p/tcp, in both directions', async () => {
    const plain = await start({ transports: [tcp()], services: { identify: identify(), ping: ping() } })
    const ours = await start({ services: { identify: identify(), ping: ping() } })

    await ours.dial(plain.getMultiaddrs())
    expect(portOf((await inboundFrom(plain, ours)).remoteAddr)).to.be.oneOf(portsOf(ours))
    await ours.services.ping.ping(plain.peerId)
    await ours.hangUp(plain.peerId)

    await plain.dial(ours.getMultiaddrs())
    await plain.services.ping.ping(ours.peerId)
    expect(portOf((await inboundFrom(ours, plain)).remoteAddr)).to.not.be.oneOf(portsOf(plain))
  })

  for (const order of ['first', 'last']) {
    where(REUSES_PORTS).it(`that listen on a relay too dial it from their TCP port (TCP transport ${order})`, async () => {
      const relay = await start({
        services: { identify: identify(), relay: circuitRelayServer() }
      })
      const transports = [reuseportTcp({ portReuse }), circuitRelayTransport()]
      const node = await start({
        addresses: { listen: ['/ip4/127.0.0.1/tcp/0', `${relay.getMultiaddrs()[0]}/p2p-circuit`] },
        transports: order === 'first' ? transports : transports.reverse(),
        services: { identify: identify() }
      })

      const inbound = await inboundFrom(relay, node)
      expect(portOf(inbound.remoteAddr)).to.be.oneOf(portsOf(node))
    })
  }

  it('do not take the port of another node', async () => {
    const first = await start({})
    const [port] = portsOf(first)

    await expect(start({ addresses: { listen: [`/ip4/127.0.0.1/tcp/${port}`] } })).to.eventually.be.rejected()
      .with.property('message').that.matches(new RegExp(`EADDRINUSE.* 127.0.0.1:${port}`))
  })
})
