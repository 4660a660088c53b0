import type { Logger } from '@libp2p/interface'

/**
 * Calls a user's callback from inside a socket event, where nobody could catch what it
 * throws or rejects, and where that would leave a connection half made. It goes to the log
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
