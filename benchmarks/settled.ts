import { setTimeout as delay } from 'node:timers/promises'

/**
 * How long connections may take to open or to close, in ms
 */
const LIMIT = 10_000

/**
 * Waits until a count is what it is expected to be, for a bounded time
 *
 * @returns the count
 */
export async function settled (count: () => number, expected: number): Promise<number> {
  const deadline = performance.now() + LIMIT

  while (count() !== expected && performance.now() < deadline) {
    await delay(1)
  }

  return count()
}
