import { expect } from 'aegir/chai'
import pDefer from 'p-defer'
import { toDuplex } from '../../src/index.ts'
import { startServer } from '../fixtures/server.ts'
import { createTransport } from '../kit/transport.ts'
import { until } from '../kit/wait.ts'
import type { RawConnection } from '../../src/index.ts'
import type { TestServer } from '../fixtures/server.ts'
import type { TestTransport } from '../kit/transport.ts'
import type { Socket } from 'node:net'

describe('duplex', () => {
  let local: TestTransport
  let server: TestServer

  async function open (handle?: (socket: Socket) => void): Promise<RawConnection> {
    local = createTransport()
    server = await startServer('127.0.0.1', 0, handle)

    return (await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`)).connection
  }

  afterEach(async () => {
    await local.stop()
    await server.stop()
  })

  async function collect (source: AsyncIterable<{ subarray(): Uint8Array }>): Promise<Buffer> {
    const parts = []

    for await (const part of source) {
      parts.push(part.subarray())
    }

    return Buffer.concat(parts)
  }

  it('sends, ends its half, and reads what the peer answers after that', async () => {
    const connection = await open(socket => {
      let request = ''
      const answer = (): void => { socket.end(`you said: ${request}`) }
      socket.on('data', data => { request += `${data}` })
      socket.on('end', () => setTimeout(answer, 50))
    })
    const { source, sink } = toDuplex(connection)
    const encoder = new TextEncoder()

    await sink([encoder.encode('hello '), encoder.encode('there')])
    expect(`${await collect(source)}`).to.equal('you said: hello there')
    expect(connection.status).to.equal('closed')
  })

  it('carries many bytes both ways at once, to a reader that takes its time', async () => {
    const connection = await open()
    const { source, sink } = toDuplex(connection)
    const sent = Buffer.alloc(20_000_000, 'some pattern that is not a power of two long')
    let largest = 0

    async function * slowly (): AsyncGenerator<{ subarray(): Uint8Array }> {
      for await (const part of source) {
        largest = Math.max(largest, connection.readBufferLength)
        await new Promise(resolve => setImmediate(resolve))
        yield part
      }
    }

    const chunks = Array.from({ length: 200 }, (_, i) => sent.subarray(i * 100_000, (i + 1) * 100_000))
    const [received] = await Promise.all([collect(slowly()), sink(chunks)])
    expect(received.equals(sent)).to.equal(true)
    expect(largest).to.be.lessThan(1_000_000)
  })

  it('rejects both ends when the peer resets', async () => {
    const connection = await open(socket => { socket.once('data', () => socket.resetAndDestroy()) })
    const { source, sink } = toDuplex(connection)

    async function * forever (): AsyncGenerator<Uint8Array> {
      while (true) {
        yield new Uint8Array(1000)
        await new Promise(resolve => setImmediate(resolve))
      }
    }

    await Promise.all([
      expect(sink(forever())).to.eventually.be.rejected(),
      expect(collect(source)).to.eventually.be.rejected().with.property('code', 'ECONNRESET')
    ])
  })

  it('rejects a reader that begins after the peer has reset', async () => {
    const connection = await open()
    const { source } = toDuplex(connection)
    const socket = await server.socket(0)
    socket.resetAndDestroy()
    await until(() => connection.status === 'aborted')

    await expect(collect(source)).to.eventually.be.rejected().with.property('code', 'ECONNRESET')
    await expect(collect(toDuplex(connection).source)).to.eventually.be.rejected().with.property('name', 'StreamResetError')
  })

  it('holds the peer back until somebody reads', async () => {
    const sent = Buffer.alloc(20_000_000, 'some pattern that is not a power of two long')
    const connection = await open(socket => { socket.end(sent) })
    const { source, sink } = toDuplex(connection)
    await until(() => server.sockets[0]?.writableLength > 0)
    // time for it to send what nobody wants yet
    await new Promise(resolve => setTimeout(resolve, 200))

    expect(connection.readBufferLength).to.be.lessThan(1_000_000)
    expect((await collect(source)).equals(sent)).to.equal(true)
    await sink([])
    expect(connection.status).to.equal('closed')
  })

  it('goes on sending after the peer has closed its half', async () => {
    const request = pDefer<Socket>()
    const connection = await open(socket => {
      socket.end('the question')
      request.resolve(socket)
    })
    const { source, sink } = toDuplex(connection)
    expect(`${await collect(source)}`).to.equal('the question')
    expect(connection.status).to.equal('open')

    const answer = Buffer.alloc(5_000_000, 'some pattern that is not a power of two long')
    const received = collect(await request.promise as AsyncIterable<Buffer>)
    await sink(Array.from({ length: 50 }, (_, i) => answer.subarray(i * 100_000, (i + 1) * 100_000)))
    expect((await received).equals(answer)).to.equal(true)
    expect(connection.status).to.equal('closed')
  })

  it('rejects the sink of a connection that is lost before all is sent, however it ends', async () => {
    const losses: Record<string, (connection: RawConnection, socket: Socket) => unknown> = {
      'the peer resets with most of it unread': (_, socket) => socket.resetAndDestroy(),
      'we abort': connection => { connection.abort(new Error('enough')) }
    }

    for (const [name, lose] of Object.entries(losses)) {
      for (const bytes of [0, 900_000, 20_000_000]) {
        const connection = await open(socket => { socket.pause() })
        const socket = await server.socket(0)
        const { sink } = toDuplex(connection)

        await expect(sink((async function * () {
          // it may be long before more is asked for
          setImmediate(() => { lose(connection, socket) })
          yield new Uint8Array(bytes)
          await new Promise(resolve => setImmediate(resolve))
        })()), `${name}, ${bytes} bytes`).to.eventually.be.rejectedWith(Error)
        expect(connection.status).to.equal('aborted')
        await expect(sink([]), `${name}, again`).to.eventually.be.rejectedWith(Error)

        await local.stop()
        await server.stop()
      }
    }

    await open()
  })

  it('aborts when the source of the sink throws', async () => {
    const connection = await open()

    await expect(toDuplex(connection).sink((async function * () {
      yield new Uint8Array(1)
      throw new Error('no more')
    })())).to.eventually.be.rejected().with.property('message', 'no more')
    expect(connection.status).to.equal('aborted')
  })

  it('aborts when nobody reads to the end', async () => {
    const connection = await open(socket => { socket.write('one') })

    const { source } = toDuplex(connection)
    const { value } = await source.next()
    expect(value.byteLength).to.equal(3)

    await source.return(undefined)
    expect(connection.status).to.equal('aborted')
  })
})
