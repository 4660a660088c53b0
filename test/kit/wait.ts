import pTimeout from 'p-timeout'
import pWaitFor from 'p-wait-for'

/**
 * Waits until it is so, for `timeout` ms at most
 *
 * @throws {Error} when that has taken too long
 */
export async function until (condition: () => boolean | Promise<boolean>, timeout: number = 5_000): Promise<void> {
  await pWaitFor(condition, { interval: 10, timeout: { milliseconds: timeout, message: `Still not so after ${timeout} ms: ${condition}` } })
}

/**
 * @throws {Error} if `promise` takes longer than `limit` ms
 */
export async function within <T> (limit: number, promise: Promise<T>, what: string): Promise<T> {
  return pTimeout(promise, { milliseconds: limit, message: `${what} took longer than ${limit} ms` })
}
