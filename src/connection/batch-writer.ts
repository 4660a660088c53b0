import { promisify } from 'node:util'
import { StreamClosedError } from '@libp2p/utils'
import type { SendResult } from '@libp2p/utils'
import type { Socket } from 'node:net'
import type { Uint8ArrayList } from 'uint8arraylist'

/** Chunks of this size or more are not copied: copying costs more than a write of their own */
const UNCOPIED_CHUNK_BYTES = 20 * 1024

/** Small chunks are copied into memory of this size, a slab, until they are written */
const SLAB_BYTES = 64 * 1024

/** How many slabs the process keeps for the next writers */
const MAX_SPARE_SLABS = 16

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

const spareSlabs: Uint8Array[] = []

/**
 * Gives the kernel what is sent within one tick in a single system call.
 *
 * If there were few messages in the last tick, the first one of this tick is written at
 * once. Otherwise small chunks are copied one behind the other until `process.nextTick`
 * runs its callbacks, a large chunk comes, or there is as much as the socket wants to buffer.
 * A large chunk is not copied, and written at once with all that waits.
 *
 * So a buffer may be changed when `write` has returned, as after `socket.write`. If the
 * kernel's buffer is full, both keep large chunks until the kernel takes them.
 */
export class BatchWriter {
  readonly #socket: Socket
  readonly #onDrain: () => void

  /** Its first bytes are copies of the small chunks that wait */
  #slab?: Uint8Array
  #copied = 0

  /** How many messages there were in this tick, and in the last one that had any */
  #messages = 0
  #lastMessages = 0
  #needsDrain = false

  /** How many bytes were sent since everybody else on the event loop had a turn */
  #turnBytes = 0

  /** `onDrain` is called when more can be written after `canSendMore` was false */
  constructor (socket: Socket, onDrain: () => void) {
    this.#socket = socket
    this.#onDrain = onDrain

    socket.on('drain', () => { this.#drainIfRoom() })
  }

  /** How many bytes wait. A write counts as a whole until the kernel has all of it */
  get pending (): number {
    return this.#copied + this.#socket.writableLength
  }

  /** Changes whenever the kernel takes something */
  progress (): number {
    // no public API tells how much of a write the kernel has. Bun and Deno do not tell it
    const { _handle: handle }: { _handle?: { writeQueueSize?: number } | null } = this.#socket as any

    return this.pending + (handle?.writeQueueSize ?? 0)
  }

  /**
   * When the socket is full, the chunks of `data` that are left are not taken
   *
   * @returns how many bytes were taken, and whether there is room for more. If not, wait for
   * the drain
   */
  write (data: Uint8Array | Uint8ArrayList): SendResult {
    if (this.#messages++ === 0) {
      process.nextTick(endTick, this)
    }

    const isUndelayed = this.#messages === 1 && this.#lastMessages <= UNDELAYED_TICK_MESSAGES
    let sentBytes = 0

    if (data instanceof Uint8Array) {
      sentBytes = this.#take(data, isUndelayed)
    } else {
      for (const chunk of data) {
        sentBytes += this.#take(chunk, false)
      }

      if (isUndelayed) {
        this.#writeOut()
      }
    }

    if (this.#turnBytes < TURN_BYTES && this.#turnBytes + sentBytes >= TURN_BYTES) {
      setImmediate(endTurn, this)
    }

    this.#turnBytes += sentBytes

    // after a write the kernel may have all of it
    if (this.#isFull() || this.#turnBytes >= TURN_BYTES) {
      this.#needsDrain = true
    }

    return { sentBytes, canSendMore: !this.#needsDrain }
  }

  /**
   * Resolves when the kernel has everything, `rest` at the end, and a FIN after it. Nothing
   * can be written any more
   *
   * @throws {Error} if the socket is closed before
   */
  async end (rest: Uint8ArrayList): Promise<void> {
    const socket = this.#socket
    this.#writeOut()

    socket.cork()

    for (const chunk of rest) {
      socket.write(chunk)
    }

    socket.uncork()
    await write(socket, NOTHING)

    if (socket.destroyed) {
      // Node reports success even if only part of a write reached the kernel
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

  /** @returns how many bytes were taken: all, or none if the socket is full */
  #take (chunk: Uint8Array, atOnce: boolean): number {
    const { byteLength } = chunk

    if (this.#isFull()) {
      return 0
    }

    if (atOnce || byteLength >= UNCOPIED_CHUNK_BYTES) {
      this.#writeOut(chunk)
      return byteLength
    }

    if (this.#copied + byteLength > SLAB_BYTES) {
      this.#writeOut()
    }

    this.#slab ??= spareSlabs.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES)
    this.#slab.set(chunk, this.#copied)
    this.#copied += byteLength

    if (this.#isFull()) {
      this.#writeOut()
    }

    return byteLength
  }

  /** Tells that there is room again, if somebody was told that there is none */
  #drainIfRoom (): void {
    if (this.#needsDrain && this.#turnBytes < TURN_BYTES && !this.#socket.writableNeedDrain) {
      this.#needsDrain = false
      this.#onDrain()
    }
  }

  /** Writes the small chunks that wait, and then this one */
  #writeOut (large?: Uint8Array): void {
    const socket = this.#socket
    const slab = this.#slab
    const small = slab?.subarray(0, this.#copied)
    this.#slab = undefined
    this.#copied = 0

    if (socket.destroyed) {
      return
    }

    if (slab == null || small == null) {
      if (large != null) {
        socket.write(large)
      }

      return
    }

    const mustWait = socket.writableLength > 0

    if (large != null) {
      // one vectored write for both
      socket.cork()
    }

    // what waits in the socket must not keep a whole slab
    socket.write(mustWait ? Buffer.from(small) : small)

    if (large != null) {
      socket.write(large)
      socket.uncork()
    }

    // if nothing is left in the socket, the kernel has what was in the slab
    if (spareSlabs.length < MAX_SPARE_SLABS && (mustWait || socket.writableLength === 0)) {
      spareSlabs.push(slab)
    }
  }
}

function endTick (writer: BatchWriter): void {
  writer.endTick()
}

function endTurn (writer: BatchWriter): void {
  writer.endTurn()
}
