import { AbortError } from '@libp2p/interface'
import { raceSignal } from 'race-signal'

/**
 * Waits for `promise`, or until `signal` aborts
 *
 * @throws {AbortError} when the signal aborts
 */
export async function untilAborted <T> (promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  return raceSignal(promise, signal, { translateError: abortError })
}

/**
 * Runs `job` with a signal that aborts as soon as one of `signals` aborts. It is for signals that
 * outlive the job. With `AbortSignal.any()`, Node 22 would keep 170 bytes for each job as long as
 * these signals live
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
