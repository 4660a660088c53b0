import { promisify } from 'node:util'
import { StreamClosedError } from '@libp2p/utils'
import type { Socket } from 'node:net'
import type { Uint8ArrayList } from 'uint8arraylist'

/**
 * From this size on, in bytes, copying a chunk into a larger one costs more than
 * what it saves
 */
const LARGE = 8 * 1024

/**
 * From so many chunks on, one vectored write costs less than a write for each
 */
const MANY = 3

/**
 * Up to so many messages in the last tick, the first of this one does not wait for
 * others. Two is what yamux sends for each request or response: the data, and a
 * while later, when the data can be on its way already, a window update
 */
const FEW = 2

/**
 * How many bytes may be sent before everybody else on the event loop gets a turn,
 * however fast the kernel takes them
 */
const BURST = 1024 * 1024

const NOTHING = new Uint8Array(0)

// made once: `promisify` itself costs several microseconds
const write = promisify((socket: Socket, data: Uint8Array, callback: (err?: Error | null) => void) => { socket.write(data, callback) })
const end = promisify((socket: Socket, callback: () => void) => { socket.end(callback) })

/**
 * Writes to a socket what is sent within one tick in one go.
 *
 * If there were few messages in the last tick, the first one of this tick is
 * written at once. All others are collected until it ends, as `process.nextTick`
 * sees it, or until there is as much as the socket wants to have buffered. Small
 * chunks that follow each other are copied into one, large ones are not copied.
 */
export class BatchWriter {
  readonly #socket: Socket
  readonly #onDrain: () => void
  #chunks: Uint8Array[] = []
  #bytes = 0

  /**
   * How many messages there were in this tick, and in the last one that had any
   */
  #messages = 0
  #lastMessages = 0
  #needsDrain = false

  /**
   * How many bytes were sent since others had a turn, or more
   */
  #burst = 0

  /**
   * `onDrain` is called when more can be written after `write` has returned false
   */
  constructor (socket: Socket, onDrain: () => void) {
    this.#socket = socket
    this.#onDrain = onDrain

    socket.on('drain', () => { this.#drainIfRoom() })
  }

  /**
   * How many bytes are not with the kernel yet
   */
  get pending (): number {
    return this.#bytes + this.#socket.writableLength
  }

  /**
   * The data must not be changed afterwards
   *
   * @returns whether there is room for more. If not, wait for the drain
   */
  write (data: Uint8Array | Uint8ArrayList): boolean {
    if (this.#messages++ === 0) {
      process.nextTick(endTick, this)
    }

    if (data instanceof Uint8Array) {
      this.#chunks.push(data)
    } else {
      for (const chunk of data) {
        this.#chunks.push(chunk)
      }
    }

    this.#bytes += data.byteLength

    if (this.#burst < BURST && this.#burst + data.byteLength >= BURST) {
      setImmediate(endBurst, this)
    }

    this.#burst += data.byteLength

    if (this.#isFull() || (this.#messages === 1 && this.#lastMessages <= FEW)) {
      this.#writeOut()
    }

    // the kernel may have taken it all
    if (this.#isFull() || this.#burst >= BURST) {
      this.#needsDrain = true
    }

    return !this.#needsDrain
  }

  /**
   * Resolves when the kernel has everything, and a FIN after it. Nothing can be written
   * any more
   *
   * @throws {Error} if the socket is closed before
   */
  async end (): Promise<void> {
    const socket = this.#socket
    this.#writeOut()

    await write(socket, NOTHING)

    if (socket.destroyed) {
      // to Node it is no failure if a write is cut off that the kernel has taken in part
      throw new StreamClosedError('The connection was lost before all data was sent')
    }

    // not before: while it is shutting down, libuv can't reset a socket
    await end(socket)
  }

  endTick (): void {
    this.#lastMessages = this.#messages
    this.#messages = 0
    this.#writeOut()

    this.#drainIfRoom()
  }

  endBurst (): void {
    this.#burst = 0
    this.#drainIfRoom()
  }

  #isFull (): boolean {
    return this.pending >= this.#socket.writableHighWaterMark
  }

  /**
   * What was too much a moment ago may have gone out since
   */
  #drainIfRoom (): void {
    if (this.#needsDrain && this.#burst < BURST && !this.#socket.writableNeedDrain) {
      this.#needsDrain = false
      this.#onDrain()
    }
  }

  #writeOut (): void {
    const socket = this.#socket
    const chunks = this.#chunks

    if (chunks.length === 0 || socket.destroyed) {
      return
    }

    this.#chunks = []
    this.#bytes = 0

    const merged = chunks.length === 1 ? chunks : mergeSmall(chunks)

    if (merged.length >= MANY) {
      socket.cork()
    }

    merged.forEach(chunk => socket.write(chunk))
    // nothing happens if it is not corked
    socket.uncork()
  }
}

/**
 * Copies small chunks that follow each other into one
 */
function mergeSmall (chunks: Uint8Array[]): Uint8Array[] {
  const merged: Uint8Array[] = []
  let small: Uint8Array[] = []

  const endSmall = (): void => {
    if (small.length > 0) {
      merged.push(small.length === 1 ? small[0] : Buffer.concat(small))
      small = []
    }
  }

  for (const chunk of chunks) {
    if (chunk.byteLength < LARGE) {
      small.push(chunk)
    } else {
      endSmall()
      merged.push(chunk)
    }
  }

  endSmall()

  return merged
}

function endTick (writer: BatchWriter): void {
  writer.endTick()
}

function endBurst (writer: BatchWriter): void {
  writer.endBurst()
}
