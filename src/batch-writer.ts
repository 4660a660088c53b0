import pDefer from 'p-defer'
import type { Socket } from 'node:net'
import type { Uint8ArrayList } from 'uint8arraylist'

/**
 * From this size on, in bytes, copying a chunk into a larger one costs more than
 * a system call of its own
 */
const LARGE = 8 * 1024

const NOTHING = new Uint8Array(0)

/**
 * Writes to a socket what is sent within one tick in one go.
 *
 * A message that is alone in its tick is written at once. If there was more than
 * one in the last tick, the messages of this one are collected until it ends, as
 * `process.nextTick` sees it, or until there is as much as the socket wants to
 * have buffered. Small chunks are copied into one, large ones are not copied.
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
   * `onDrain` is called when more can be written after `write` has returned false
   */
  constructor (socket: Socket, onDrain: () => void) {
    this.#socket = socket
    this.#onDrain = onDrain

    socket.on('drain', () => { this.#drained() })
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

    const isFull = this.pending >= this.#socket.writableHighWaterMark

    if (isFull) {
      this.#needsDrain = true
    }

    if (isFull || (this.#messages === 1 && this.#lastMessages <= 1)) {
      this.#writeOut()
    }

    return !this.#needsDrain
  }

  /**
   * Resolves when the kernel has everything
   *
   * @throws {Error} if the socket is closed before
   */
  async flush (): Promise<void> {
    const flushed = pDefer<void>()
    this.#writeOut()

    this.#socket.write(NOTHING, err => {
      if (err != null) {
        flushed.reject(err)
      } else {
        flushed.resolve()
      }
    })

    return flushed.promise
  }

  endTick (): void {
    this.#lastMessages = this.#messages
    this.#messages = 0
    this.#writeOut()

    // what was too much a moment ago may have gone out since
    if (this.#needsDrain && !this.#socket.writableNeedDrain) {
      this.#drained()
    }
  }

  #drained (): void {
    if (this.#needsDrain) {
      this.#needsDrain = false
      this.#onDrain()
    }
  }

  #writeOut (): void {
    const chunks = this.#chunks
    const socket = this.#socket

    if (chunks.length === 0 || socket.destroyed) {
      return
    }

    const bytes = this.#bytes
    this.#chunks = []
    this.#bytes = 0

    if (chunks.length > 1 && bytes <= chunks.length * LARGE) {
      socket.write(Buffer.concat(chunks, bytes))
      return
    }

    for (const chunk of chunks) {
      socket.write(chunk)
    }
  }
}

function endTick (writer: BatchWriter): void {
  writer.endTick()
}
