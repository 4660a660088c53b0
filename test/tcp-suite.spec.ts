import { once } from 'node:events'
import net from 'node:net'
import { defaultLogger } from '@libp2p/logger'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import pDefer from 'p-defer'
import { toConnection } from '../src/connection/connection.ts'
import { closed } from './fixtures/server.ts'
import { createTransport, rawUpgrader } from './kit/transport.ts'
import type { RawConnection } from '../src/index.ts'
import type { AddressInfo, ServerOpts, Socket, SocketConstructorOpts } from 'node:net'

const PEER_ID = '12D3KooWJRSrypvnpHgc6ZAgyCni4KcSmbV7uGRaMw5LgMKT18fq'

/** Behaviours that the tests of `@libp2p/tcp` assert and that no other test here does */
describe('as in the suite of @libp2p/tcp', () => {
  const cleanup: Array<() => unknown> = []

  afterEach(async () => {
    await Promise.all(cleanup.splice(0).map(fn => fn()))
  })

  /** A connection made of a socket that somebody else accepted, and the other end */
  async function accept ({ server: serverOptions = {}, client: clientOptions = {}, inactivityTimeout = 5_000 }: { server?: ServerOpts, client?: SocketConstructorOpts, inactivityTimeout?: number } = {}): Promise<{ connection: RawConnection, socket: Socket, client: Socket }> {
    const server = net.createServer(serverOptions)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const client = new net.Socket(clientOptions).connect((server.address() as AddressInfo).port, '127.0.0.1')
    client.on('error', () => {})
    const [socket] = await once(server, 'connection')
    cleanup.push(() => { client.destroy() }, () => { socket.destroy() }, () => { server.close() })

    const connection = toConnection({ socket, direction: 'inbound', inactivityTimeout, log: defaultLogger().forComponent('test') })
    expect(connection.timeline.open).to.be.a('number')
    expect(connection.timeline).to.not.have.property('close')
    client.write('hello')
    socket.write('goodbye')

    return { connection, socket, client }
  }

  const ends: Record<string, (client: Socket) => unknown> = {
    'closed by the client': client => client.resume().end(),
    'forcibly closed by the client': client => client.destroy(),
    'reset by the client': client => client.resetAndDestroy()
  }

  Object.entries(ends).forEach(([name, end]) => {
    it(`a socket that is ${name} is destroyed, and the time recorded`, async () => {
      const { connection, socket, client } = await accept()
      end(client)

      await closed(socket)
      expect(connection.timeline.close).to.be.a('number')
    })
  })

  it('a socket that is half-closed by the client is destroyed, and the client sees the end', async () => {
    const { connection, socket, client } = await accept({ client: { allowHalfOpen: true } })
    client.resume().end()

    await Promise.all([closed(socket), once(client, 'end')])
    expect(connection.timeline.close).to.be.a('number')
  })

  it('a socket is destroyed when its connection is closed, once, however often that is asked for', async () => {
    for (const server of [{}, { allowHalfOpen: true }]) {
      const { connection, socket } = await accept({ server })
      const { signal } = new AbortController()
      let listeners = 0
      const { addEventListener } = signal
      signal.addEventListener = (...args: any[]) => {
        listeners++
        Reflect.apply(addEventListener, signal, args)
      }

      await Promise.all([connection.close({ signal }), connection.close({ signal }), connection.close({ signal })])
      await closed(socket)
      expect(connection.timeline.close).to.be.a('number')
      expect(listeners).to.equal(1)
    }
  })

  it('a socket is destroyed when its connection is closed although the client goes on sending', async () => {
    const { connection, socket, client } = await accept({ client: { allowHalfOpen: true } })
    const sending = setInterval(() => { client.write('more') }, 10)
    cleanup.push(() => { clearInterval(sending) })

    await connection.close()
    expect(socket.destroyed).to.equal(true)
    expect(connection.timeline.close).to.be.a('number')
  })

  it('a multiaddr with a peer id is listened on and dialed', async () => {
    const local = createTransport()
    cleanup.push(async () => local.stop())
    const accepted = pDefer()
    const { listener, port } = await local.listen(`/ip4/127.0.0.1/tcp/0/p2p/${PEER_ID}`, rawUpgrader(accepted.resolve))

    expect(listener.getAddrs().map(String)).to.deep.equal([`/ip4/127.0.0.1/tcp/${port}`])
    await local.transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${port}/p2p/${PEER_ID}`), { upgrader: rawUpgrader(), signal: AbortSignal.timeout(5_000) })
    await accepted.promise
  })
})
