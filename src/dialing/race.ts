import { AbortError, InvalidParametersError } from '@libp2p/interface'
import pDefer from 'p-defer'
import { abortError, throwIfAborted } from '../abort.ts'

/** The Connection Attempt Delay that RFC 8305 recommends */
export const CONNECTION_ATTEMPT_DELAY_MS = 250

/** One way to get a result. When `signal` aborts, the attempt must release everything and reject */
export interface Attempt<T> {
  (signal: AbortSignal): Promise<T>
}

export interface RaceOptions<T> {
  /** How long an attempt runs before the next one starts in parallel, in ms */
  delay: number

  signal: AbortSignal

  /** Releases the result of an attempt that succeeded too late */
  discard(result: T): void
}

/**
 * Starts the attempts in order. Each starts `delay` ms after the one before, or at once when an
 * attempt has failed (RFC 8305, section 5). The first to succeed wins, and the others are
 * aborted.
 *
 * @throws {AbortError} when `signal` aborts
 * @throws {InvalidParametersError} if there are no attempts
 * @throws {Error} the error of the attempt, if there is only one. If several failed, an
 * AggregateError that has the first `code` among their errors
 */
export async function race <T> (attempts: Array<Attempt<T>>, { delay, signal, discard }: RaceOptions<T>): Promise<T> {
  throwIfAborted(signal)

  if (attempts.length === 0) {
    throw new InvalidParametersError('There must be at least one attempt')
  }

  if (attempts.length === 1) {
    return attempts[0](signal)
  }

  const winner = pDefer<T>()
  const controller = new AbortController()
  const errors: Error[] = []
  let started = 0
  let finished = false
  let timer: ReturnType<typeof setTimeout> | undefined

  const startNext = (): void => {
    clearTimeout(timer)

    if (finished || started === attempts.length) {
      return
    }

    const attempt = attempts[started++]
    timer = setTimeout(startNext, delay)

    attempt(controller.signal).then(value => {
      if (finished) {
        discard(value)
        return
      }

      finished = true
      winner.resolve(value)
    }, err => {
      errors.push(err)

      if (errors.length === attempts.length) {
        winner.reject(allFailed(errors))
      } else {
        startNext()
      }
    })
  }

  const onAbort = (): void => {
    // results that come from now on are discarded
    finished = true
    controller.abort(OVER)
    winner.reject(abortError(signal))
  }
  signal.addEventListener('abort', onAbort)

  try {
    startNext()

    return await winner.promise
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)

    if (started > errors.length + (finished ? 1 : 0)) {
      // without a reason, `abort()` would make an error with its stack
      controller.abort(OVER)
    }

    finished = true
  }
}

/** The reason that aborts the attempts that did not win */
export const OVER = new AbortError('Another attempt was faster')

/** Makes one error from all errors */
function allFailed (errors: Error[]): Error {
  const code = errors.map((err: NodeJS.ErrnoException) => err.code).find(code => code != null)

  return Object.assign(new AggregateError(errors, errors.map(err => err.message).join('; ')), { code })
}
