import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { startServer } from '../fixtures/server.ts'
import { startNode } from '../kit/node.ts'
import { until } from '../kit/wait.ts'
import type { ConnectionGater, Libp2p, MultiaddrConnection } from '@libp2p/interface'
import type { Libp2pOptions } from 'libp2p'

/** In ms */
const TIMEOUT = 5_000

/**
 * A connection of a hole punch arrives at the listener of the initiator, which upgrades it as
 * an outbound one
 */
describe('limits of inbound connections', () => {
  const cleanup: Array<() => unknown> = []

  afterEach(async () => {
    await Promise.all(cleanup.splice(0).map(fn => fn()))
  })

  async function start (options: Libp2pOptions = {}): Promise<Libp2p<any>> {
    const node = await startNode({ ...options, connectionGater: { denyDialMultiaddr: () => false, ...options.connectionGater } })
    cleanup.push(async () => node.stop())

    return node
  }

  async function dial (node: any, address: string, options: object): Promise<unknown> {
    return node.components.transportManager.dial(multiaddr(address), { ...options, signal: AbortSignal.timeout(TIMEOUT) })
  }

  /** Stands in for the relayed connection that they have while they punch */
  async function connect (node: Libp2p, peer: Libp2p): Promise<void> {
    await dial(node, peer.getMultiaddrs()[0].toString(), { reusePort: false })
  }

  /**
   * The node punches in vain, as in front of a symmetric NAT, and then the peer's own dial
   * arrives
   */
  async function arrive (node: Libp2p, peer: Libp2p): Promise<unknown> {
    const { port, stop } = await startServer()
    await stop()
    await expect(dial(node, `/ip4/127.0.0.1/tcp/${port}/p2p/${peer.peerId}`, { initiator: true })).to.eventually.be.rejected().with.property('code', 'ECONNREFUSED')

    return dial(peer, node.getMultiaddrs()[0].toString(), { initiator: false })
  }

  it('are asked in the same order as for an inbound connection', async () => {
    const asked: string[] = []
    const ask = (name: string) => (...args: any[]): boolean => {
      const { direction, remoteAddr }: MultiaddrConnection = args.at(-1)
      asked.push([name, ...args.slice(0, -1), direction, remoteAddr.getComponents().map(({ name }) => name).join('/')].join(' '))

      return false
    }
    const connectionGater: ConnectionGater = {
      denyInboundConnection: ask('denyInboundConnection'),
      denyInboundEncryptedConnection: ask('denyInboundEncryptedConnection'),
      denyInboundUpgradedConnection: ask('denyInboundUpgradedConnection')
    }
    const [node, peer] = [await start({ connectionGater }), await start()]
    await peer.dial(node.getMultiaddrs())
    await until(() => node.getConnections().length === 1)
    const expected = asked.splice(0)
    await peer.hangUp(node.peerId)
    await until(() => node.getConnections().length === 0)

    await connect(node, peer)
    await arrive(node, peer)
    await until(() => node.getConnections().length === 2)
    expect(node.getConnections().map(({ direction }) => direction)).to.deep.equal(['outbound', 'outbound'])
    expect(expected).to.have.lengthOf(3)
    expect(asked).to.deep.equal(expected)
  })

  const REFUSING: Record<string, Libp2pOptions> = {
    'a gater that denies inbound connections': { connectionGater: { denyInboundConnection: () => true } },
    'a gater that denies inbound connections of this peer': { connectionGater: { denyInboundEncryptedConnection: async () => true } },
    'a gater that denies upgraded inbound connections': { connectionGater: { denyInboundUpgradedConnection: () => true } },
    'a deny list': { connectionManager: { deny: ['/ip4/127.0.0.1/ipcidr/32'] } },
    maxConnections: { connectionManager: { maxConnections: 1 } },
    'the number of pending connections': { connectionManager: { maxIncomingPendingConnections: 0 } }
  }

  for (const [name, options] of Object.entries(REFUSING)) {
    it(`are kept: ${name}`, async () => {
      const [node, peer] = [await start(options), await start()]
      await connect(node, peer)

      await expect(arrive(node, peer)).to.eventually.be.rejected()
      expect(node.getConnections()).to.have.lengthOf(1)
    })
  }

  it('are kept if the gater can not be asked, as there is no other connection to the peer', async () => {
    const [node, peer] = [await start({ connectionGater: { denyInboundUpgradedConnection: () => false } }), await start()]

    await expect(arrive(node, peer)).to.eventually.be.rejected()
    expect(node.getConnections()).to.be.empty()
  })

  it('do not count the connection as a pending one when it is upgraded', async () => {
    const [node, other, peer] = [await start({ connectionManager: { maxIncomingPendingConnections: 1 } }), await start(), await start()]
    await arrive(node, peer)
    await until(() => node.getConnections().length === 1)

    await other.dial(node.getMultiaddrs())
    await until(() => node.getConnections().length === 2)
  })
})
