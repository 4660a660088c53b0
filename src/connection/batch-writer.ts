import { promisify } from 'node:util'
import { StreamClosedError } from '@libp2p/utils'
import type { SendResult } from '@libp2p/utils'
import type { Socket } from 'node:net'
import type { Uint8ArrayList } from 'uint8arraylist'

/** Chunks of this size or larger are not copied: copying costs more than an extra write */
const UNCOPIED_CHUNK_BYTES = 20 * 1024

/** Small chunks are copied into memory of this size, a slab, until they are written */
const SLAB_BYTES = 64 * 1024

/** How many unused slabs the process keeps for the next writers */
const MAX_SPARE_SLABS = 16

/**
 * If the last tick had no more messages than this, the first message of this tick is written at
 * once. Yamux sends two messages for each request or response: the data, and a window update a
 * while later. The data must not wait for the window update
 */
const UNDELAYED_TICK_MESSAGES = 2

/**
 * How many bytes may be sent before other tasks of the event loop get a turn, even if the kernel
 * takes them faster. This was measured with sends of 64 KiB and a receiver on the same event
 * loop. With 1 MiB, some processes are fast and others are slow. With 384 to 768 KiB, all are
 * fast. Probably the processor's cache holds this much data until it is read
 */
const TURN_BYTES = 512 * 1024

const NOTHING = new Uint8Array(0)

// made only once, because `promisify` itself costs several microseconds
const write = promisify((socket: Socket, data: Uint8Array, callback: (err?: Error | null) => void) => { socket.write(data, callback) })
const end = promisify((socket: Socket, callback: () => void) => { socket.end(callback) })

const spareSlabs: Uint8Array[] = []

/**
 * Passes all data of one tick to the kernel in a single system call.
 *
 * If the last tick had few messages, the first message of this tick is written at once.
 * Otherwise small chunks are copied one behind the other. They are written when
 * `process.nextTick` runs its callbacks, when a large chunk comes, or when they are as much as
 * the socket wants to buffer. A large chunk is not copied. It is written at once, together with
 * the small chunks that wait.
 *
 * So the caller may change a buffer after `write` has returned, as after `socket.write`. The
 * exception is the same for both: if the kernel's buffer is full, large chunks are kept without
 * a copy until the kernel takes them.
 */
export class BatchWriter {
  readonly #socket: Socket
  readonly #onDrain: () => void

  /** The first `#copied` bytes are copies of the small chunks that wait */
  #slab?: Uint8Array
  #copied = 0

  /** How many messages this tick had, and how many the last tick with messages had */
  #messages = 0
  #lastMessages = 0
  #needsDrain = false

  /** How many bytes were sent since other tasks of the event loop had a turn */
  #turnBytes = 0

  /** `onDrain` is called when there is room again after `canSendMore` was false */
  constructor (socket: Socket, onDrain: () => void) {
    this.#socket = socket
    this.#onDrain = onDrain

    socket.on('drain', () => { this.#drainIfRoom() })
  }

  /** How many bytes wait. A write counts in full until the kernel has all of it */
  get pending (): number {
    return this.#copied + this.#socket.writableLength
  }

  /** A number that changes whenever the kernel takes data */
  progress (): number {
    // no public API tells how much of a write the kernel has taken. Bun and Deno do not tell it
    // at all
    const { _handle: handle }: { _handle?: { writeQueueSize?: number } | null } = this.#socket as any

    return this.pending + (handle?.writeQueueSize ?? 0)
  }

  /**
   * Takes chunks of `data` until the socket is full
   *
   * @returns how many bytes were taken, and whether there is room for more. If there is none,
   * the caller has to wait for `onDrain`
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

    // checked here, after the writes: the kernel may have taken everything
    if (this.#isFull() || this.#turnBytes >= TURN_BYTES) {
      this.#needsDrain = true
    }

    return { sentBytes, canSendMore: !this.#needsDrain }
  }

  /**
   * Sends all that waits, then `rest`, then a FIN. Resolves when the kernel has everything.
   * Nothing can be written after this call
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

    // the FIN comes only now: libuv can't reset a socket while it is shutting down
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

  /** @returns how many bytes were taken: all of the chunk, or none if the socket is full */
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

  /** Calls `onDrain` if there is room again and the last `write` said that there was none */
  #drainIfRoom (): void {
    if (this.#needsDrain && this.#turnBytes < TURN_BYTES && !this.#socket.writableNeedDrain) {
      this.#needsDrain = false
      this.#onDrain()
    }
  }

  /** Writes the small chunks that wait, and then the large one */
  #writeOut (large?: Uint8Array): void {
    const socket = this.#socket
    const slab = this.#slab
    const small = slab?.subarray(0, this.#copied)
    this.#slab = undefined
    this.#copied = 0

    // an aborted socket may still be sending its FIN
    if (!socket.writable) {
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
      // so that both go in one vectored write
      socket.cork()
    }

    // data that waits in the socket is copied, so that it does not keep a whole slab
    socket.write(mustWait ? Buffer.from(small) : small)

    if (large != null) {
      socket.write(large)
      socket.uncork()
    }

    // if nothing is left in the socket, the kernel has the slab's data, and the slab is free
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
