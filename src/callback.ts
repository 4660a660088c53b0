import type { Logger } from '@libp2p/interface'

/**
 * Calls a user's callback from inside a socket event, and logs its error. Nobody could catch an
 * error there, and it would leave a connection half made
 */
export function callBack (log: Logger, callback: () => unknown): void {
  try {
    const result = callback()

    if (result instanceof Promise) {
      result.catch(err => { log.error('a callback rejected - %e', err) })
    }
  } catch (err) {
    log.error('a callback failed - %e', err)
  }
}
