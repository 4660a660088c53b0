import { createHash } from 'node:crypto'

/**
 * What is sent is an endless repetition of these bytes, so that the receiver knows each of them.
 * Messages of a power of two begin at 1,025 different places
 */
const PERIOD = 64 * 1_025
const BYTES = createHash('shake256', { outputLength: PERIOD }).digest()
const TWICE = Buffer.concat([BYTES, BYTES])

/** The messages of one size that follow each other, until they begin again */
export function messagesOf (size: number): Uint8Array[] {
  const bytes = Buffer.alloc(PERIOD + size, BYTES)

  return Array.from({ length: PERIOD / greatestCommonDivisor(PERIOD, size) }, (_, n) => {
    const start = n * size % PERIOD

    return bytes.subarray(start, start + size)
  })
}

/**
 * Returns a function that takes what arrives and says how much has arrived so far. It throws an
 * Error if that is not what was sent
 */
export function countBytes (): (chunk: Uint8Array) => number {
  let received = 0

  return chunk => {
    for (let rest = chunk; rest.byteLength > 0; rest = rest.subarray(PERIOD)) {
      const part = rest.subarray(0, PERIOD)
      const start = received % PERIOD

      if (Buffer.compare(part, TWICE.subarray(start, start + part.byteLength)) !== 0) {
        throw new Error(`Wrong bytes arrived after ${received} right ones`)
      }

      received += part.byteLength
    }

    return received
  }
}

function greatestCommonDivisor (a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b)
}
