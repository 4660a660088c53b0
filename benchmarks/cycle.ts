import pDefer from 'p-defer'
import { bytes, seededRandom } from '../test/stress/random.ts'

/**
 * What is sent is a cycle of different messages, again and again, so that the
 * receiver knows every byte, and comparing is cheap next to receiving
 */
export interface Cycle {
  messages: Uint8Array[]
  bytes: Uint8Array
}

const MESSAGES = 16

/**
 * Random bytes are slow to make, and are only needed to tell messages apart
 */
const BLOCK = 65_521

export function createCycle (messageSize: number): Cycle {
  const block = bytes(seededRandom(messageSize), Math.min(messageSize * MESSAGES, BLOCK))
  const count = messageSize > 1_000_000 ? 2 : MESSAGES
  // fill() repeats the block, which fits no power of two, so that messages differ
  const all = Buffer.alloc(messageSize * count).fill(block)

  return {
    messages: Array.from({ length: count }, (_, i) => all.subarray(i * messageSize, (i + 1) * messageSize)),
    bytes: all
  }
}

/**
 * Compares what arrives with endless repetitions of the cycle
 */
export class CycleChecker {
  received = 0
  readonly #expected: Uint8Array
  #awaited = Infinity
  #arrived = pDefer()

  constructor (cycle: Cycle) {
    this.#expected = cycle.bytes
  }

  /**
   * @throws {Error} if it is not what comes next in the cycle
   */
  add (chunk: Uint8Array): void {
    for (let rest = chunk; rest.byteLength > 0;) {
      const start = this.received % this.#expected.byteLength
      const expected = this.#expected.subarray(start, start + rest.byteLength)

      if (Buffer.compare(rest.subarray(0, expected.byteLength), expected) !== 0) {
        throw new Error(`Wrong bytes arrived after ${this.received} right ones`)
      }

      this.received += expected.byteLength
      rest = rest.subarray(expected.byteLength)
    }

    if (this.received >= this.#awaited) {
      this.#arrived.resolve()
    }
  }

  /**
   * Resolves when so many bytes have arrived since the beginning
   */
  async until (received: number): Promise<void> {
    if (this.received < received) {
      this.#awaited = received
      this.#arrived = pDefer()
      await this.#arrived.promise
    }
  }
}
