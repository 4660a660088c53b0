import { AbortError } from '@libp2p/interface'
import { raceSignal } from 'race-signal'

/**
 * Waits for `promise`, but not past `signal`
 *
 * @throws {AbortError}
 */
export async function untilAborted <T> (promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  return raceSignal(promise, signal, { translateError: abortError })
}

/** @throws {AbortError} */
export function throwIfAborted (signal: AbortSignal): void {
  if (signal.aborted) {
    throw abortError(signal)
  }
}

export function abortError (signal?: AbortSignal): AbortError {
  const err = new AbortError()
  err.cause = signal?.reason

  return err
}
