import { randomBytes } from 'node:crypto'
import net from 'node:net'
import { defaultLogger } from '@libp2p/logger'
import { noise } from '@libp2p/noise'
import { tls } from '@libp2p/tls'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { toConnection } from '../../src/connection/connection.ts'
import { startServer } from '../fixtures/server.ts'
import { REUSES_PORTS, where } from '../fixtures/system.ts'
import { portOf } from '../kit/addresses.ts'
import { echo, serveEcho } from '../kit/echo.ts'
import { startNode } from '../kit/node.ts'
import { inPrivateNetwork } from '../kit/private-network.ts'
import { until } from '../kit/wait.ts'
import type { TestServer } from '../fixtures/server.ts'
import type { Connection, Libp2p } from '@libp2p/interface'
import type { Libp2pOptions } from 'libp2p'
import type { Socket } from 'node:net'

/** In ms. More than a responder waits for an initiator */
const TIMEOUT = 5_000

/**
 * How many bytes `@libp2p/pnet` and multistream-select send before they have understood
 * anything of the other end: a nonce, the header and the proposal of noise
 */
const UNANSWERED_BYTES = 24 + 20 + 8

/** The role that DCUtR gives one end of a hole punch */
type Role = 'initiator' | 'responder'

describe('roles in a private network', () => {
  const cleanup: Array<() => unknown> = []

  afterEach(async () => {
    await Promise.all(cleanup.splice(0).map(fn => fn()))
  })

  async function start (options: Libp2pOptions = {}): Promise<Libp2p> {
    const node = await startNode({
      ...inPrivateNetwork(1),
      connectionGater: { denyDialMultiaddr: () => false },
      ...options
    })
    cleanup.push(async () => node.stop())
    await serveEcho(node)

    return node
  }

  async function serve (handle: (socket: Socket) => void): Promise<TestServer> {
    const server = await startServer('127.0.0.1', 0, handle)
    cleanup.push(async () => server.stop())

    return server
  }

  /**
   * Where two ends can dial, to be joined to one connection. To both it looks like a
   * simultaneous open
   */
  async function startJoint (): Promise<string> {
    let waiting: Socket | undefined
    const { port } = await serve(socket => {
      if (waiting == null) {
        waiting = socket
      } else {
        socket.pipe(waiting).pipe(socket)
      }
    })

    return `/ip4/127.0.0.1/tcp/${port}`
  }

  async function punch (node: any, peer: Libp2p, role: Role, address: string = listeningAddress(peer)): Promise<Connection> {
    return node.components.transportManager.dial(multiaddr(`${address}/p2p/${peer.peerId}`), {
      initiator: role === 'initiator',
      signal: AbortSignal.timeout(TIMEOUT)
    })
  }

  /** Punches in vain, as in front of a symmetric NAT. The peer's own dial is expected then */
  async function expectPeer (node: Libp2p, peer: Libp2p): Promise<void> {
    const { port, stop } = await startServer()
    await stop()
    await expect(punch(node, peer, 'initiator', `/ip4/127.0.0.1/tcp/${port}`)).to.eventually.be.rejected().with.property('code', 'ECONNREFUSED')
  }

  function listeningAddress (node: Libp2p): string {
    return node.getMultiaddrs()[0].decapsulate(`/p2p/${node.peerId}`).toString()
  }

  /** The two nodes have one connection, it works, and they agree on who is the initiator */
  async function expectConnected (initiator: Libp2p, responder: Libp2p): Promise<void> {
    await until(() => initiator.getConnections().length === 1 && responder.getConnections().length === 1)
    const [outbound] = initiator.getConnections()
    const [inbound] = responder.getConnections()

    expect([outbound.direction, inbound.direction]).to.deep.equal(['outbound', 'inbound'])
    expect([outbound.remotePeer, inbound.remotePeer].join()).to.equal([responder.peerId, initiator.peerId].join())

    for (const connection of [outbound, inbound]) {
      await echo(connection, randomBytes(100_000), AbortSignal.timeout(TIMEOUT))
    }
  }

  describe('of a hole punch', () => {
    it('are as agreed if both SYNs meet', async () => {
      const [a, b] = [await start(), await start()]
      const joint = await startJoint()
      await Promise.all([punch(a, b, 'initiator', joint), punch(b, a, 'responder', joint)])

      await expectConnected(a, b)
    })

    it('are as agreed if the SYN of the initiator arrives at the listener of the responder', async () => {
      const [a, b] = [await start(), await start()]
      await punch(a, b, 'initiator')

      await expectConnected(a, b)
    })

    it('are as agreed if the SYN of the responder arrives at the listener of the initiator', async () => {
      const [a, b] = [await start(), await start()]
      await expectPeer(a, b)
      await punch(b, a, 'responder')

      await expectConnected(a, b)
    })

    it('are swapped if the SYN of the responder arrives at a listener that does not expect it', async () => {
      const [a, b] = [await start(), await start()]
      await punch(b, a, 'responder')

      await expectConnected(b, a)
    })

    where(REUSES_PORTS).it('do not hide from the transport what the peer observes', async () => {
      const [a, b] = [await start(), await start()]
      await expectPeer(a, b)
      await punch(b, a, 'responder')
      await expectConnected(a, b)

      for (const node of [a, b] as any[]) {
        const [connection] = node.getConnections()
        node.components.events.safeDispatchEvent('peer:identify', { detail: { connection, observedAddr: multiaddr('/ip4/11.0.0.1/tcp/4001') } })

        const [{ addresses }] = node.components.transportManager.getTransports()[0].observed()
        expect(addresses.map((address: any) => address.multiaddr.toString())).to.deep.equal(['/ip4/11.0.0.1/tcp/4001'])
      }
    })
  })

  it('a plain dial of a peer that is expected succeeds', async () => {
    const [a, b] = [await start(), await start()]
    await expectPeer(a, b)
    await b.dial(multiaddr(`${listeningAddress(a)}/p2p/${a.peerId}`))

    await expectConnected(b, a)
  })

  for (const [name, encrypter] of [['noise', noise()], ['tls', tls()]] as const) {
    where(REUSES_PORTS).it(`two plain dials that meet are followed by another one: ${name}`, async () => {
      const options = { connectionEncrypters: [encrypter] }
      const [node, peer] = [await start(options), await start(options)]
      let connections = 0
      const server = await serve(socket => {
        if (connections++ > 0) {
          const onward = net.connect(portOf(listeningAddress(peer)), '127.0.0.1')
          onward.on('error', () => {})
          socket.pipe(onward).pipe(socket)

          return
        }

        const connection = toConnection({ socket, direction: 'outbound', log: defaultLogger().forComponent('test') })
        ;(peer as any).components.upgrader.upgradeOutbound(connection, { signal: AbortSignal.timeout(TIMEOUT) })
          .catch((err: Error) => { connection.abort(err) })
      })
      await node.dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}/p2p/${peer.peerId}`))

      await expectConnected(node, peer)
      expect(server.sockets).to.have.lengthOf(2)
    })
  }

  it('a server of another kind is dialed once, whatever it answers', async () => {
    const node = await start()
    const server = await serve(socket => { socket.write(new Uint8Array(UNANSWERED_BYTES)) })

    await expect(node.dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`))).to.eventually.be.rejected()
    expect(server.sockets).to.have.lengthOf(1)
  })
})
