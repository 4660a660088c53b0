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

/**
 * Runs `job` with a signal that aborts as soon as one of `signals` does. It is for signals
 * that outlive the job: with `AbortSignal.any()` Node 22 keeps 170 bytes for each job as long
 * as they live
 */
export async function withSignals <T> (signals: AbortSignal[], job: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const onAbort = (): void => { controller.abort(signals.find(({ aborted }) => aborted)?.reason) }

  signals.forEach(signal => { signal.addEventListener('abort', onAbort) })

  try {
    if (signals.some(({ aborted }) => aborted)) {
      onAbort()
    }

    return await job(controller.signal)
  } finally {
    signals.forEach(signal => { signal.removeEventListener('abort', onAbort) })
  }
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
