import { promisify } from 'node:util'
import { StreamClosedError } from '@libp2p/utils'
import type { Socket } from 'node:net'
import type { Uint8ArrayList } from 'uint8arraylist'

/**
 * Chunks of this size or more are not copied: that would cost more than one `write` for all
 * of them saves
 */
const UNCOPIED_CHUNK_BYTES = 8 * 1024

/**
 * If there were no more messages than this in the last tick, the first one of this tick is
 * written at once. Two is what yamux sends for each request or response: the data, and a
 * window update a while later, for which the data must not wait
 */
const UNDELAYED_TICK_MESSAGES = 2

/**
 * How much may be sent before everybody else on the event loop gets a turn, however fast
 * the kernel takes it. With a receiver on the same event loop, sends of 64 KiB run at one of
 * two speeds with 1 MiB, which differs from process to process, and always at the higher one
 * with 384 to 768 KiB. Probably that is what the processor's cache holds until it is read
 */
const TURN_BYTES = 512 * 1024

const NOTHING = new Uint8Array(0)

// made once: `promisify` itself costs several microseconds
const write = promisify((socket: Socket, data: Uint8Array, callback: (err?: Error | null) => void) => { socket.write(data, callback) })
const end = promisify((socket: Socket, callback: () => void) => { socket.end(callback) })

/**
 * Gives the kernel what is sent within one tick in a single system call.
 *
 * If there were few messages in the last tick, the first one of this tick is written at
 * once. All others are collected until `process.nextTick` runs its callbacks, or until
 * there is as much as the socket wants to buffer. Small chunks next to each other are
 * copied into one, large chunks are not copied.
 */
export class BatchWriter {
  readonly #socket: Socket
  readonly #onDrain: () => void
  #chunks: Uint8Array[] = []
  #bytes = 0

  /** How many messages there were in this tick, and in the last one that had any */
  #messages = 0
  #lastMessages = 0
  #needsDrain = false

  /** How many bytes were sent since everybody else on the event loop had a turn */
  #turnBytes = 0

  /** `onDrain` is called when more can be written after `write` has returned false */
  constructor (socket: Socket, onDrain: () => void) {
    this.#socket = socket
    this.#onDrain = onDrain

    socket.on('drain', () => { this.#drainIfRoom() })
  }

  /** How many bytes are not with the kernel yet */
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

    if (this.#turnBytes < TURN_BYTES && this.#turnBytes + data.byteLength >= TURN_BYTES) {
      setImmediate(endTurn, this)
    }

    this.#turnBytes += data.byteLength

    if (this.#isFull() || (this.#messages === 1 && this.#lastMessages <= UNDELAYED_TICK_MESSAGES)) {
      this.#writeOut()
    }

    // asked again: after a write the kernel may have all of it
    if (this.#isFull() || this.#turnBytes >= TURN_BYTES) {
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

  endTurn (): void {
    this.#turnBytes = 0
    this.#drainIfRoom()
  }

  #isFull (): boolean {
    return this.pending >= this.#socket.writableHighWaterMark
  }

  /** Tells that there is room again, if somebody was told that there is none */
  #drainIfRoom (): void {
    if (this.#needsDrain && this.#turnBytes < TURN_BYTES && !this.#socket.writableNeedDrain) {
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

    if (merged.length > 1) {
      // one vectored write for all of them
      socket.cork()
    }

    merged.forEach(chunk => socket.write(chunk))
    // does nothing if it is not corked
    socket.uncork()
  }
}

/** Copies small chunks that follow each other into one */
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
    if (chunk.byteLength < UNCOPIED_CHUNK_BYTES) {
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

function endTurn (writer: BatchWriter): void {
  writer.endTurn()
}
