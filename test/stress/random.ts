/**
 * Gives numbers from 0 up to, but without, 1
 */
export type Random = () => number

/**
 * The same seed gives the same numbers (mulberry32)
 */
export function seededRandom (seed: number): Random {
  let state = seed

  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)

    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/**
 * An integer from `min` to `max`, both included
 */
export function integer (random: Random, min: number, max: number): number {
  return min + Math.floor(random() * (max - min + 1))
}

export function pick <T> (random: Random, values: readonly T[]): T {
  return values[integer(random, 0, values.length - 1)]
}

export function bytes (random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => integer(random, 0, 255))
}
