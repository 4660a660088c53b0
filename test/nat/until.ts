import { setTimeout as delay } from 'node:timers/promises'

/**
 * @throws {Error} when that has taken too long
 */
export async function until (condition: () => boolean, timeout: number): Promise<void> {
  const end = Date.now() + timeout

  while (!condition()) {
    if (Date.now() > end) {
      throw new Error(`Still not so after ${timeout} ms: ${condition}`)
    }

    await delay(10)
  }
}
