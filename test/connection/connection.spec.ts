import { once } from 'node:events'
import net from 'node:net'
import { defaultLogger } from '@libp2p/logger'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import fc from 'fast-check'
import pDefer from 'p-defer'
import { Uint8ArrayList } from 'uint8arraylist'
import { reuseportTcp } from '../../src/index.ts'
import { readBytes, startServer } from '../fixtures/server.ts'
import { TAKES_A_MEGABYTE, where } from '../fixtures/system.ts'
import { createTransport, rawUpgrader } from '../kit/transport.ts'
import type { RawConnection, ReuseportTcpInit } from '../../src/index.ts'
import type { TestServer } from '../fixtures/server.ts'
import type { TestTransport } from '../kit/transport.ts'
import type { Logger, MultiaddrConnection } from '@libp2p/interface'
import type { Socket } from 'node:net'

/** Bytes that differ with their position */
function pattern (from: number, to: number): Uint8Array {
  return Uint8Array.from({ length: to - from }, (_, i) => ((from + i) * 2_654_435_761) >>> 24)
}

async function tick (): Promise<void> {
  return new Promise(resolve => { process.nextTick(resolve) })
}

async function immediate (): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

async function timer (): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, 2))
}

describe('connection', () => {
  const cleanup: Array<() => unknown> = []

  afterEach(async () => {
    await Promise.all(cleanup.splice(0).map(fn => fn()))
  })

  /** One connection of ours and the other end of it as a plain socket */
  async function open (handle: (socket: Socket) => void = () => {}, init?: ReuseportTcpInit): Promise<{ connection: RawConnection, socket: Socket, local: TestTransport, server: TestServer }> {
    const local = createTransport(init)
    const server = await startServer('127.0.0.1', 0, handle)
    cleanup.push(async () => local.stop(), async () => server.stop())
    const { connection } = await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`)

    return { connection, socket: await server.socket(0), local, server }
  }

  function countCloses (connection: MultiaddrConnection): { count: number, error?: Error } {
    const closes: { count: number, error?: Error } = { count: 0 }
    connection.addEventListener('close', ({ error }) => {
      closes.count++
      closes.error = error
    })

    return closes
  }

  it('knows both ends', async () => {
    const inbound = pDefer<MultiaddrConnection & { localAddr?: unknown }>()
    const local = createTransport()
    cleanup.push(async () => local.stop())
    const { port } = await local.listen('/ip4/0.0.0.0/tcp/0', rawUpgrader(connection => { inbound.resolve(connection) }))
    const { connection } = await local.connect(`/ip4/127.0.0.1/tcp/${port}`)

    expect(connection.remoteAddr.toString()).to.equal(`/ip4/127.0.0.1/tcp/${port}`)
    expect((await inbound.promise).remoteAddr.toString()).to.equal(connection.localAddr?.toString())
    expect(`${(await inbound.promise).localAddr}`).to.equal(`/ip4/127.0.0.1/tcp/${port}`)
    expect((await inbound.promise).direction).to.equal('inbound')
    expect(connection.direction).to.equal('outbound')
  })

  it('knows both ends although the peer has gone', async () => {
    const { connection, socket } = await open()
    const closed = once(connection as any, 'close')
    const port = socket.remotePort

    socket.resetAndDestroy()
    await closed
    expect(connection.localAddr?.toString()).to.equal(`/ip4/127.0.0.1/tcp/${port}`)
  })

  it('tells the truth about back pressure: false when full, one drain after it', async () => {
    const { connection, socket } = await open(socket => { socket.resume() })
    let drains = 0
    connection.addEventListener('drain', () => { drains++ })

    for (const size of [10, 1_000, 65_000, 65_536, 100_000]) {
      for (let i = 0; i < 20; i++) {
        let sent = 0
        drains = 0

        while (connection.send(new Uint8Array(size))) {
          sent += size
        }

        // others want a turn, however much the kernel takes
        expect(sent).to.be.at.most(512 * 1024 + size)
        expect(connection.send(new Uint8Array(1))).to.equal(false)
        await once(connection as any, 'drain')
        expect(drains).to.equal(1)
        expect(connection.writableNeedsDrain).to.equal(false)
      }
    }

    expect(socket.destroyed).to.equal(false)
  })

  it('keeps what does not fit the socket of a list in its queue, which has a limit', async () => {
    const { connection, socket } = await open(socket => { socket.pause() })
    const { connection: limited } = await open(socket => { socket.pause() })
    const parts = Array.from({ length: 200 }, (_, i) => pattern(i * 100_000, (i + 1) * 100_000))
    const closes = countCloses(limited)
    connection.maxWriteBufferLength = 20_000_000
    limited.maxWriteBufferLength = 1_000_000

    expect(limited.send(new Uint8ArrayList(...parts))).to.equal(false)
    expect(limited.status).to.equal('aborted')
    expect(closes.error).to.have.property('name', 'StreamBufferError')

    expect(connection.send(new Uint8ArrayList(...parts))).to.equal(false)
    expect(connection.writeBufferLength).to.be.greaterThan(1_000_000)
    expect((await readBytes(socket, 20_000_000)).equals(Buffer.concat(parts))).to.equal(true)
  })

  // the kernel takes less at once elsewhere
  where(TAKES_A_MEGABYTE).it('queues nothing that the kernel takes, although others want their turn', async () => {
    const { connection } = await open(socket => { socket.pause() })
    connection.maxWriteBufferLength = 0

    for (let i = 0; i < 10; i++) {
      connection.send(new Uint8Array(100_000))
    }

    expect(connection.writableNeedsDrain).to.equal(true)
    expect(connection.status).to.equal('open')
  })

  it('logs the same errors as @libp2p/tcp', async () => {
    const ends: Record<string, (connection: MultiaddrConnection, peer: Socket) => unknown> = {
      'the peer closes': (_, peer) => peer.end(),
      'the peer resets': (_, peer) => peer.resetAndDestroy(),
      'we close': async (connection, peer) => {
        peer.resume().once('end', () => { peer.end() })
        await connection.close()
      },
      'we abort': connection => { connection.abort(new Error('enough')) },
      'nothing happens': () => {},
      'too much arrives': (connection, peer) => {
        connection.maxReadBufferLength = 10
        peer.write(new Uint8Array(100))
      }
    }

    const errorsOf = async (create: typeof tcp | typeof reuseportTcp, end: typeof ends[string]): Promise<string[]> => {
      const errors: string[] = []
      const log: Logger = Object.assign(defaultLogger().forComponent('test'), {
        error: (_: string, err: any) => { errors.push(err.code ?? err.name) },
        newScope: () => log
      })
      const server = await startServer('127.0.0.1', 0, socket => { socket.pause() })
      cleanup.push(async () => server.stop())
      const transport = create({ outboundSocketInactivityTimeout: 100 })({ logger: { forComponent: () => log } })
      const dialed: any = await transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`), { upgrader: rawUpgrader(), signal: AbortSignal.timeout(5_000) })
      const closed = once(dialed, 'close')
      await end(dialed, await server.socket(0))
      await closed

      return errors
    }

    for (const [name, end] of Object.entries(ends)) {
      expect(await errorsOf(reuseportTcp, end), name).to.deep.equal(await errorsOf(tcp, end))
    }
  })

  it('keeps every byte in its place, whatever the sizes, pauses and the end', async () => {
    const sizes = fc.array(fc.oneof(
      fc.record({ kind: fc.constant('send' as const), parts: fc.array(fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 20_000 }), fc.integer({ min: 60_000, max: 200_000 })), { minLength: 1, maxLength: 4 }) }),
      fc.record({ kind: fc.constant('wait' as const), for: fc.constantFrom('drain', 'microtask', 'tick', 'immediate', 'timer') })
    ), { minLength: 1, maxLength: 60 })
    const end = fc.constantFrom('close', 'close at once', 'closeWrite', 'abort')

    await fc.assert(fc.asyncProperty(sizes, end, fc.boolean(), async (steps, end, slow) => {
      const received: Buffer[] = []
      const ended = pDefer<void>()
      const onData = (socket: Socket, data: Buffer): void => {
        received.push(data)

        if (slow) {
          socket.pause()
          setTimeout(() => { socket.resume() }, 1)
        }
      }
      const onEnd = (socket: Socket): void => {
        socket.end()
        ended.resolve()
      }
      const { connection, socket, local, server } = await open(socket => {
        socket.on('data', data => { onData(socket, data) })
        socket.on('end', () => { onEnd(socket) })
        socket.on('close', () => { ended.resolve() })
      })
      const sent: Uint8Array[] = []
      let position = 0

      for (const step of steps) {
        if (step.kind === 'send') {
          const parts = []

          for (const size of step.parts) {
            parts.push(pattern(position, position + size))
            position += size
          }

          sent.push(...parts)
          connection.send(new Uint8ArrayList(...parts))
        } else if (step.for === 'drain') {
          if (connection.writableNeedsDrain) {
            await once(connection as any, 'drain')
          }
        } else {
          await { microtask: async () => {}, tick, immediate, timer }[step.for as 'tick']?.()
        }
      }

      if (end === 'abort') {
        connection.abort(new Error('enough'))
      } else if (end === 'closeWrite') {
        await connection.closeWrite()
      } else {
        if (end === 'close') {
          await immediate()
        }

        await connection.close()
      }

      await ended.promise
      const expected = Buffer.concat(sent)
      const actual = Buffer.concat(received)
      expect(actual.equals(end === 'abort' ? expected.subarray(0, actual.byteLength) : expected)).to.equal(true)
      expect(socket.errored == null || end === 'abort').to.equal(true)

      await local.stop()
      await server.stop()
      cleanup.length = 0
    }), { numRuns: 60 })
  })

  it('sends all data before it closes, then a FIN', async () => {
    const bytes = 20_000_000
    let received = 0
    const { connection, socket } = await open(socket => {
      socket.on('data', data => { received += data.byteLength })
      socket.on('end', () => { socket.end() })
    })
    const closes = countCloses(connection)
    const ended = once(socket, 'end')

    connection.send(new Uint8Array(bytes))
    await connection.close()
    await ended
    expect(received).to.equal(bytes)
    expect(closes).to.deep.equal({ count: 1, error: undefined })
    expect(connection.status).to.equal('closed')
    expect(connection.timeline.close).to.be.a('number')
  })

  it('closes although the peer has reset it, and says so in the event', async () => {
    const { connection, socket } = await open()
    const closes = countCloses(connection)

    // the kernel knows at once, we don't
    socket.resetAndDestroy()
    connection.send(Uint8Array.from([1]))
    await connection.close()

    expect(closes.count).to.equal(1)
    expect(closes.error).to.have.property('code').that.is.oneOf(['ECONNRESET', 'EPIPE'])
    expect(connection.status).to.equal('aborted')
  })

  it('closes although the peer never closes its end', async () => {
    const { connection, socket } = await open(socket => { socket.resume() })
    const ended = once(socket, 'end')

    await connection.close()
    await ended
    expect(connection.status).to.equal('closed')
  })

  it('closes within the signal of the caller', async () => {
    const { connection } = await open(socket => { socket.resume() })

    await connection.close({ signal: AbortSignal.timeout(20) })
    expect(connection.status).to.equal('closed')
  })

  it('resets when it is aborted', async () => {
    const { connection, socket } = await open(socket => { socket.resume() })
    const closes = countCloses(connection)
    const error = once(socket, 'error')

    connection.abort(new Error('enough'))
    connection.abort(new Error('really'))
    expect((await error)[0]).to.have.property('code', 'ECONNRESET')
    expect(closes).to.have.property('count', 1)
    expect(closes.error).to.have.property('message', 'enough')
    await connection.close()
  })

  it('notices that the peer reset it', async () => {
    const { connection, socket } = await open()
    const closed = once(connection as any, 'close')

    socket.resetAndDestroy()
    expect((await closed)[0].error).to.have.property('code', 'ECONNRESET')
  })

  it('delivers what the peer sent before it closed, then closes', async () => {
    const { connection } = await open(socket => { socket.end('goodbye') })
    const received: string[] = []

    for await (const data of connection) {
      received.push(new TextDecoder().decode(data.subarray()))
    }

    expect(received.join('')).to.equal('goodbye')
    expect(connection.status).to.equal('closed')
  })

  it('stops reading from the socket while it is paused', async () => {
    const { connection, socket } = await open()
    let received = 0
    connection.addEventListener('message', ({ data }) => { received += data.byteLength })
    connection.pause()

    const chunk = new Uint8Array(1_000_000)
    let sent = 0

    while (sent < 50_000_000 && socket.write(chunk)) {
      sent += chunk.byteLength
      await new Promise(resolve => setTimeout(resolve, 5))
    }

    expect(socket.writableNeedDrain).to.equal(true)
    expect(received).to.equal(0)

    connection.resume()
    await once(socket, 'drain')
    expect(received).to.be.greaterThan(0)
  })

  for (const direction of ['inbound', 'outbound']) {
    it(`aborts an ${direction} connection on which nothing happens`, async () => {
      const aborted = pDefer<Error | undefined>()
      const watch = (connection: MultiaddrConnection): void => {
        connection.addEventListener('close', ({ error }) => { aborted.resolve(error) })
      }
      const local = createTransport({ [`${direction}SocketInactivityTimeout`]: 50 })
      const peer = createTransport()
      cleanup.push(async () => local.stop(), async () => peer.stop())

      if (direction === 'inbound') {
        const { port } = await local.listen('/ip4/127.0.0.1/tcp/0', rawUpgrader(watch))
        await peer.connect(`/ip4/127.0.0.1/tcp/${port}`)
      } else {
        const { port } = await peer.listen('/ip4/127.0.0.1/tcp/0')
        watch((await local.connect(`/ip4/127.0.0.1/tcp/${port}`)).connection)
      }

      expect(await aborted.promise).to.have.property('name', 'TimeoutError')
    })
  }

  it('stays open for writing after the peer has closed its half, if it may', async () => {
    const received = pDefer<string>()
    const { connection } = await open(socket => {
      socket.end()
      socket.once('data', data => { received.resolve(`${data}`) })
    }, { dialOpts: { allowHalfOpen: true } })
    await once(connection as any, 'remoteCloseWrite')

    expect(connection.status).to.equal('open')
    connection.send(new TextEncoder().encode('still here'))
    expect(await received.promise).to.equal('still here')
    await connection.close()
  })

  it('sends its FIN after all data although nobody waits for that any more', async () => {
    const { connection, socket } = await open(socket => { socket.pause() })
    connection.send(new Uint8Array(20_000_000))

    await expect(connection.closeWrite({ signal: AbortSignal.timeout(50) })).to.eventually.be.rejected()
      .with.property('name', 'AbortError')

    let received = 0
    const ended = once(socket, 'end')
    socket.on('data', data => { received += data.byteLength })
    socket.resume()
    await connection.closeWrite()
    await ended
    expect(received).to.equal(20_000_000)
  })

  it('stays open for writing after a peer that dialed us has closed its half, if it may', async () => {
    const accepted = pDefer<MultiaddrConnection>()
    const local = createTransport({ listenOpts: { allowHalfOpen: true } })
    cleanup.push(async () => local.stop())
    const { port } = await local.listen('/ip4/127.0.0.1/tcp/0', rawUpgrader(connection => { accepted.resolve(connection) }))

    const socket = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true })
    cleanup.push(async () => { socket.destroy() })
    const connection = await accepted.promise
    const closed = once(connection as any, 'remoteCloseWrite')
    socket.end()
    await closed

    expect(connection.status).to.equal('open')
    connection.send(new TextEncoder().encode('still here'))
    const [data] = await once(socket, 'data')
    expect(`${data}`).to.equal('still here')
  })
})
