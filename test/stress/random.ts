import { createHash } from 'node:crypto'
import fc from 'fast-check'
import type { Arbitrary } from 'fast-check'

/**
 * The same seed gives the same choice
 */
export function choose <T> (seed: number, arbitrary: Arbitrary<T>): T {
  return fc.sample(arbitrary, { seed, numRuns: 1, unbiased: true })[0]
}

/**
 * The same seed gives the same bytes
 */
export function bytes (seed: number | string, length: number): Uint8Array {
  return createHash('shake256', { outputLength: length }).update(`${seed}`).digest()
}
