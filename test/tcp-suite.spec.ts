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

/**
 * Behaviours that the tests of `@libp2p/tcp` assert and that no other test here does
 */
describe('as in the suite of @libp2p/tcp', () => {
  const cleanup: Array<() => unknown> = []

  afterEach(async () => {
    await Promise.all(cleanup.splice(0).map(fn => fn()))
  })

  /**
   * A connection made of a socket that somebody else accepted, and the other end
   */
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

  it('a socket on which nothing happens is destroyed, and the client sees that it was not closed in order', async () => {
    const { socket, client } = await accept({ inactivityTimeout: 50 })
    const [error] = await once(client.resume(), 'error')

    await closed(socket)
    expect(error.code).to.be.oneOf(['ECONNRESET', 'EPIPE'])
  })

  it('all of a reply reaches a client that half-closes, on a socket that was made with allowHalfOpen: false', async () => {
    const { connection, client } = await accept({ server: { allowHalfOpen: false }, client: { allowHalfOpen: true } })
    connection.addEventListener('message', () => {
      for (let i = 0; i < 200; i++) {
        connection.send(new Uint8Array(100_000))
      }
    })
    client.end('and a question')

    let received = 0

    for await (const data of client) {
      received += data.byteLength
    }

    expect(received).to.equal('goodbye'.length + 20_000_000)
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

  it('a dial that is aborted while it is upgraded closes its connection', async () => {
    const local = createTransport()
    cleanup.push(async () => local.stop())
    const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')
    const controller = new AbortController()
    const upgraded = pDefer<RawConnection>()

    await expect(local.transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${port}`), {
      signal: controller.signal,
      upgrader: rawUpgrader(async connection => {
        upgraded.resolve(connection as RawConnection)
        controller.abort()
        controller.signal.throwIfAborted()
      })
    })).to.eventually.be.rejected().with.property('name', 'AbortError')
    expect((await upgraded.promise).timeline.close).to.be.a('number')
  })
})
