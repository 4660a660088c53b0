import { once } from 'node:events'
import net from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { expect } from 'aegir/chai'
import pDefer from 'p-defer'
import { Uint8ArrayList } from 'uint8arraylist'
import { BatchWriter } from '../../src/connection/batch-writer.ts'
import { readBytes, startCountingThread, startServer } from '../fixtures/server.ts'
import { until } from '../kit/wait.ts'
import type { Socket } from 'node:net'

describe('batch-writer', () => {
  const cleanup: Array<() => unknown> = []

  afterEach(async () => {
    await Promise.all(cleanup.splice(0).map(fn => fn()))
  })

  async function connect (port: number): Promise<{ writer: BatchWriter, drains: EventTarget }> {
    const socket = net.connect({ host: '127.0.0.1', port })
    cleanup.push(() => { socket.destroy() })
    await once(socket, 'connect')
    const drains = new EventTarget()

    return { writer: new BatchWriter(socket, () => { drains.dispatchEvent(new Event('drain')) }), drains }
  }

  /** A writer, and the other end of its socket */
  async function open (handle: (socket: Socket) => void = () => {}): Promise<{ writer: BatchWriter, drains: EventTarget, peer: Socket }> {
    const server = await startServer('127.0.0.1', 0, handle)
    cleanup.push(async () => server.stop())

    return { ...await connect(server.port), peer: await server.socket(0) }
  }

  it('sends the parts of a list in order, in one piece', async () => {
    const { writer, peer } = await open()
    const received = once(peer, 'data')

    writer.write(new Uint8ArrayList(Uint8Array.from([1, 2]), Uint8Array.from([3]), Uint8Array.from([4, 5])))
    expect((await received)[0]).to.equalBytes(Uint8Array.from([1, 2, 3, 4, 5]))
  })

  it('sends what is sent within one tick in one piece, and a lone message at once', async () => {
    const { writer, peer } = await open()
    const sizes: number[] = []
    peer.on('data', data => sizes.push(data.byteLength))
    const arrive = async (): Promise<void> => until(() => sizes.reduce((sum, size) => sum + size, 0) === 1_000)

    // the first one is alone until the others come
    for (let i = 0; i < 100; i++) {
      writer.write(new Uint8Array(10))
    }

    await arrive()
    expect(sizes.length).to.be.at.most(2)

    sizes.length = 0

    for (let i = 0; i < 100; i++) {
      writer.write(new Uint8Array(10))
    }

    await arrive()
    expect(sizes).to.deep.equal([1_000])
  })

  it('sends a message while the one behind it is still being made, as yamux does with data and window updates', async () => {
    const watcher = await startCountingThread()
    cleanup.push(async () => watcher.stop())
    const { writer } = await connect(watcher.port)

    for (let i = 1; i <= 20; i++) {
      writer.write(new Uint8Array(10))
      // this thread does nothing else, so the tick goes on
      watcher.waitFor(i * 11 - 1)
      writer.write(new Uint8Array(1))
      await turn()
    }

    watcher.waitFor(20 * 11)
  })

  it('leaves others their turn, although the kernel would take more', async () => {
    const { writer, drains } = await open(socket => { socket.pause() })
    const others = { turns: 0 }
    let sent = 0
    setImmediate(() => { others.turns++ })

    while (others.turns === 0) {
      sent += 65_536

      if (!writer.write(new Uint8Array(65_536)).canSendMore) {
        await once(drains, 'drain')
      }
    }

    expect(sent).to.be.at.most(512 * 1024)
  })

  it('sends the bytes that a buffer had when it was sent, even if it is changed afterwards', async () => {
    for (const size of [1, 100, 8_192, 20_000, 30_000]) {
      for (const inList of [false, true]) {
        const received = pDefer<Buffer>()
        const { writer } = await open(socket => { received.resolve(readBytes(socket, 4 * size)) })
        const buffer = new Uint8Array(size)

        // all in one tick, and less than the kernel takes at once
        for (let i = 1; i <= 4; i++) {
          buffer.fill(i)
          expect(writer.write(inList ? new Uint8ArrayList(buffer.subarray(0, 1), buffer.subarray(1)) : buffer)).to.deep.equal({ sentBytes: size, canSendMore: true })
        }

        buffer.fill(255)
        const expected = Buffer.concat([1, 2, 3, 4].map(i => Buffer.alloc(size, i)))
        expect((await received.promise).equals(expected), `${size} bytes, ${inList ? 'in a list' : 'alone'}`).to.equal(true)
      }
    }
  })

  it('sends small chunks as they were, although the kernel did not take them at once', async () => {
    const { writer, drains, peer } = await open(socket => { socket.pause() })
    const buffer = new Uint8Array(200)
    const sent: Buffer[] = []
    let isFull = false
    drains.addEventListener('drain', () => { isFull = false })

    // until neither the kernel nor the socket takes more
    while (!isFull) {
      for (let i = 0; i < 100 && !isFull; i++) {
        buffer.fill(sent.length % 255)
        const { sentBytes, canSendMore } = writer.write(buffer)
        sent.push(Buffer.from(buffer.subarray(0, sentBytes)))
        isFull = !canSendMore
      }

      // it may be that others only wanted their turn
      await turn()
      await turn()
    }

    buffer.fill(255)
    const expected = Buffer.concat(sent)
    expect((await readBytes(peer, expected.byteLength)).equals(expected)).to.equal(true)
  })

  it('takes nothing while the socket is full, then tells that there is room', async () => {
    const { writer, drains, peer } = await open(socket => { socket.pause() })
    const chunk = new Uint8Array(100_000)

    while (writer.write(chunk).sentBytes > 0) {
      // until neither the kernel nor the socket takes more
      await turn()
    }

    expect(writer.pending).to.be.greaterThan(0)
    expect(writer.write(Uint8Array.from([1]))).to.deep.equal({ sentBytes: 0, canSendMore: false })

    const drained = once(drains, 'drain')
    peer.resume()
    await drained
    expect(writer.write(Uint8Array.from([1]))).to.have.property('sentBytes', 1)
  })
})
