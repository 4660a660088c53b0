import { once } from 'node:events'
import net from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { expect } from 'aegir/chai'
import pDefer from 'p-defer'
import { closed, readBytes, startServer, tellsResets } from '../fixtures/server.ts'
import { createTransport, rawUpgrader } from '../kit/transport.ts'
import { until } from '../kit/wait.ts'
import type { RawConnection, ReuseportTcpInit } from '../../src/index.ts'
import type { TestServer } from '../fixtures/server.ts'
import type { TestTransport } from '../kit/transport.ts'
import type { Socket } from 'node:net'

/** More than the kernel takes from a sender whose peer does not read */
const MANY_BYTES = 20_000_000

async function sleep (ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}

/** In ms, and for how much longer than that a peer takes nothing */
const SHORT_INACTIVITY = 100
const PAUSE = 500

/**
 * What becomes of the data that was sent, and of those who wait for it, when a connection
 * ends
 */
describe('closing', () => {
  const bytes = Uint8Array.from({ length: MANY_BYTES }, (_, i) => (i * 2_654_435_761) >>> 24)
  let local: TestTransport
  let server: TestServer

  /**
   * One connection of ours and the other end of it as a plain socket, which keeps its half
   * open
   */
  async function open (init?: ReuseportTcpInit): Promise<{ connection: RawConnection, peer: Socket }> {
    local = createTransport(init)
    server = await startServer('127.0.0.1', 0, () => {})
    const { connection } = await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`)

    return { connection, peer: await server.socket(0) }
  }

  afterEach(async () => {
    await local.stop()
    await server.stop()
  })

  async function collect (socket: Socket): Promise<Buffer> {
    const received: Buffer[] = []

    for await (const data of socket) {
      received.push(data)
    }

    return Buffer.concat(received)
  }

  /** The peer must see that what it got is not all */
  async function expectReset (peer: Socket): Promise<void> {
    if (await tellsResets()) {
      await expect(collect(peer)).to.eventually.be.rejected().with.property('code', 'ECONNRESET')
    } else {
      expect((await collect(peer)).byteLength).to.be.lessThan(MANY_BYTES)
    }
  }

  function pattern (length: number): Uint8Array {
    return bytes.subarray(0, length)
  }

  function sendInPieces (connection: RawConnection, data: Uint8Array, size: number): void {
    for (let i = 0; i < data.byteLength; i += size) {
      connection.send(data.subarray(i, i + size))
    }
  }

  /**
   * So much that a part of it stays with the socket and a part in the queue before it, as
   * the peer does not read
   */
  async function queueData (connection: RawConnection): Promise<void> {
    sendInPieces(connection, new Uint8Array(MANY_BYTES), 100_000)
    await sleep(20)
    connection.send(new Uint8Array(100_000))
    expect(connection.writeBufferLength).to.be.at.least(100_000)
  }

  describe('when the peer half-closes and reads on', () => {
    const pieces: Array<[total: number, size: number]> = [[1_500_000, 1_000], [2_040_000, 60_000], [MANY_BYTES, 100_000]]
    const ends: Record<string, (connection: RawConnection) => Promise<unknown>> = {
      'is only sent': async () => {},
      'is followed by close()': async connection => connection.close(),
      'is followed by closeWrite()': async connection => connection.closeWrite()
    }

    for (const [total, size] of pieces) {
      Object.entries(ends).forEach(([name, end]) => {
        it(`all of a reply of ${total} bytes in pieces of ${size} that ${name} reaches it`, async () => {
          const { connection, peer } = await open()
          const reply = pattern(total)
          const closes = once(connection as any, 'close')
          const replied = pDefer<unknown>()
          connection.addEventListener('message', () => {
            sendInPieces(connection, reply, size)
            replied.resolve(end(connection))
          })

          // the request and the FIN wait in the kernel
          connection.pause()
          peer.end('request')
          await once(peer, 'finish')
          connection.resume()

          const received = await collect(peer)
          expect(received.equals(reply)).to.equal(true)
          await replied.promise
          expect((await closes)[0]).to.have.property('error', undefined)
        })
      })
    }

    it('close() waits until the kernel has all of the reply', async () => {
      const { connection, peer } = await open()
      const reply = pattern(MANY_BYTES)
      sendInPieces(connection, reply, 100_000)
      peer.end()
      await until(() => connection.status === 'closed')

      let isClosed = false
      const closing = connection.close().then(() => { isClosed = true })
      // most of it is not in the kernel yet
      const first = await readBytes(peer, 1)
      peer.pause()
      expect(isClosed).to.equal(false)

      expect(Buffer.concat([first, await collect(peer)]).equals(reply)).to.equal(true)
      await closing
    })

    it('nothing is left to send after a FIN that found nothing left', async () => {
      const { connection, peer } = await open()
      peer.end()
      await until(() => connection.status === 'closed')

      await connection.closeWrite()
      await connection.close()
      expect(() => { connection.send(Uint8Array.from([1])) }).to.throw()
    })
  })

  describe('with a short inactivity timeout', () => {
    const ends: Record<string, (connection: RawConnection, peer: Socket) => Promise<void>> = {
      'close()': async connection => connection.close(),
      'closeWrite()': async connection => connection.closeWrite(),
      'the peer\'s FIN': async (connection, peer) => {
        peer.end()
        await once(connection as any, 'close')
        // its users see a closed connection. It still waits until the kernel has the rest
        await connection.close()
      }
    }

    /** One connection that we accepted, as `open` for one that we dialed */
    async function accept (init: ReuseportTcpInit): Promise<{ connection: RawConnection, peer: Socket }> {
      local = createTransport(init)
      server = await startServer()
      const accepted = pDefer<RawConnection>()
      const { port } = await local.listen('/ip4/127.0.0.1/tcp/0', rawUpgrader(connection => { accepted.resolve(connection as RawConnection) }))
      const peer = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true })

      return { peer, connection: await accepted.promise }
    }

    // what the kernel takes at once, and more than that
    [1_000_000, MANY_BYTES].forEach(total => {
      Object.entries(ends).forEach(([name, end]) => {
        it(`a peer that takes its time gets all of ${total} bytes after ${name}`, async () => {
          for (const direction of ['outbound', 'inbound']) {
            const init = { [`${direction}SocketInactivityTimeout`]: SHORT_INACTIVITY }
            const { connection, peer } = direction === 'outbound' ? await open(init) : await accept(init)
            const sent = pattern(total)
            sendInPieces(connection, sent, 100_000)
            const ended = end(connection, peer)
            await sleep(SHORT_INACTIVITY + PAUSE)

            expect((await collect(peer)).equals(sent), direction).to.equal(true)
            await ended
            await local.stop()
            await server.stop()
          }
        })
      })
    })

    it('a peer that takes nothing is reset after 5 s, whatever it sends, and not told that this was all', async () => {
      const { connection, peer } = await open({ outboundSocketInactivityTimeout: 2_000 })
      const pairs = [{ connection, peer }]

      for (const n of [1, 2]) {
        const { connection } = await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`)
        pairs.push({ connection, peer: await server.socket(n) })
      }

      const settled = await Promise.all(Object.values(ends).map(async (end, n) => {
        const { connection, peer } = pairs[n]
        await queueData(connection)
        const timer = setInterval(() => {
          if (peer.writable && connection.status !== 'aborted') {
            peer.write('x')
          }
        }, 50)

        return end(connection, peer).then(() => 'resolved', () => 'rejected').finally(() => { clearInterval(timer) })
      }))

      expect(settled).to.deep.equal(['resolved', 'rejected', 'resolved'])
      await Promise.all(pairs.map(async ({ peer }) => expectReset(peer)))
    })

    it('a connection whose other half stays silent after closeWrite() is aborted', async () => {
      const { connection, peer } = await open({ outboundSocketInactivityTimeout: SHORT_INACTIVITY })
      const closes = once(connection as any, 'close')
      peer.resume()
      await connection.closeWrite()

      expect((await closes)[0].error).to.have.property('name', 'TimeoutError')
    })
  })

  describe('when the connection is lost while data is queued', () => {
    const losses: Record<string, (connection: RawConnection, peer: Socket) => unknown> = {
      'the peer resets': (_, peer) => peer.resetAndDestroy(),
      'the peer goes': (_, peer) => peer.destroy(),
      'we abort': connection => { connection.abort(new Error('enough')) },
      'we abort with the peer\'s FIN in the kernel': (connection, peer) => {
        peer.end()
        connection.abort(new Error('enough'))
      }
    }

    Object.entries(losses).forEach(([name, lose]) => {
      it(`close() settles if ${name}`, async () => {
        const { connection, peer } = await open()
        await queueData(connection)
        const closing = connection.close()
        await turn()
        lose(connection, peer)

        await closing
        expect(connection.status).to.equal('aborted')
      })

      it(`closeWrite() rejects if ${name}, and ever after`, async () => {
        const { connection, peer } = await open()
        await queueData(connection)
        const ending = connection.closeWrite()
        await turn()
        lose(connection, peer)

        await expect(ending).to.eventually.be.rejectedWith(Error)
        await expect(connection.closeWrite()).to.eventually.be.rejectedWith(Error)
      })
    })

    it('closeWrite() rejects on a connection that was reset or aborted before', async () => {
      const { connection, peer } = await open()
      peer.resetAndDestroy()
      await until(() => connection.status === 'aborted')
      await expect(connection.closeWrite()).to.eventually.be.rejectedWith(Error)

      const { connection: other } = await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`)
      other.abort(new Error('enough'))
      await expect(other.closeWrite()).to.eventually.be.rejectedWith(Error)
    })
  })

  describe('within a signal', () => {
    const reasons: Record<string, unknown> = {
      nothing: undefined,
      null: null,
      'a string': 'too late',
      'a TimeoutError': new DOMException('too late', 'TimeoutError')
    }

    Object.entries(reasons).forEach(([name, reason]) => {
      for (const when of ['before', 'after']) {
        it(`that is aborted ${when} close() is called, for ${name}, aborts what can not send its data`, async () => {
          const { connection, peer } = await open()
          const controller = new AbortController()
          await queueData(connection)

          if (when === 'before') {
            controller.abort(reason)
          } else {
            setImmediate(() => { controller.abort(reason) })
          }

          await expect(connection.close({ signal: controller.signal })).to.eventually.be.rejected()
            .with.property('name', 'AbortError')
          expect(connection.status).to.equal('aborted')
          await expectReset(peer)
        })
      }
    })
  })

  describe('while close() waits', () => {
    it('what arrives is delivered, then the end', async () => {
      const { connection, peer } = await open()
      const events: string[] = []
      connection.addEventListener('message', ({ data }) => { events.push(new TextDecoder().decode(data.subarray())) })
      connection.addEventListener('end', () => { events.push('end') })
      connection.addEventListener('close', () => { events.push('close') })
      // it hears our FIN, and has something left to say
      peer.resume().once('end', () => { peer.end('goodbye') })

      await connection.close()
      expect(events).to.deep.equal(['goodbye', 'end', 'close'])
    })

    it('what arrives waits for a reader that has paused, and does not keep the connection from closing', async () => {
      const { connection, peer } = await open()
      const received: string[] = []
      connection.addEventListener('message', ({ data }) => { received.push(new TextDecoder().decode(data.subarray())) })
      connection.pause()
      peer.resume().once('end', () => { peer.end('goodbye') })

      await connection.close()
      expect(connection.status).to.equal('closed')
      expect(received).to.be.empty()
      connection.resume()
      expect(received).to.deep.equal(['goodbye'])
    })

    it('a peer that sends more than a paused reader can keep is not in the way of its FIN, and gets all that we sent', async () => {
      const { connection, peer } = await open()
      const sent = pattern(MANY_BYTES)
      connection.pause()
      sendInPieces(connection, sent, 100_000)
      const received = collect(peer)
      peer.write(new Uint8Array(3 * connection.maxReadBufferLength))
      peer.once('end', () => { peer.end() })

      await connection.close()
      expect(connection.status).to.equal('closed')
      expect((await received).equals(sent)).to.equal(true)
      await closed(peer)
      expect(peer.errored).to.equal(null)
    })
  })

  it('refuses to send what is not bytes, and sends what comes after', async () => {
    const { connection, peer } = await open()

    for (const data of ['text', 5, {}, [1, 2], null, undefined]) {
      expect(() => { connection.send(data as any) }, String(data)).to.throw()
    }

    expect(connection.send(Uint8Array.from([1]))).to.equal(true)
    await connection.closeWrite()
    expect(await collect(peer)).to.equalBytes(Uint8Array.from([1]))
  })
})
