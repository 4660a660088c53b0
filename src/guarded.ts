import type { ComponentLogger, Logger } from '@libp2p/interface'

/**
 * Callbacks that are given to us run in the middle of socket events, where
 * nobody could catch what they throw. These keep such an error from becoming an
 * uncaught exception that ends the process
 */

/**
 * A logger that never throws
 */
export function guardLogger (logger: ComponentLogger): ComponentLogger {
  return { forComponent: name => guardLog(logger.forComponent(name)) }
}

function guardLog (log: Logger): Logger {
  const guarded: Logger = Object.assign(guardFunction(log), {
    error: guardFunction(log.error),
    trace: guardFunction(log.trace),
    newScope: (name: string) => guardLog(log.newScope(name)),
    enabled: log.enabled
  })

  return guarded
}

function guardFunction (fn: (...args: any[]) => void): (...args: any[]) => void {
  return (...args) => {
    try {
      fn(...args)
    } catch {
      // there is nowhere left to say it
    }
  }
}

/**
 * An object whose methods never throw
 */
export function guardMethods <T extends object> (object: T, log: Logger): T {
  return new Proxy(object, {
    get: (target, name) => {
      const value = Reflect.get(target, name)

      return typeof value !== 'function' ? value : (...args: unknown[]) => guardCall(log, () => value.apply(target, args))
    }
  })
}

/**
 * Calls back; what is thrown, or rejected if that is a promise, goes to the log
 */
export function guardCall <T> (log: Logger, callback: () => T): T | undefined {
  try {
    const result: unknown = callback()

    if (result instanceof Promise) {
      result.catch(err => { log('a callback rejected - %e', err) })
    }

    return result as T
  } catch (err) {
    log('a callback failed - %e', err)
  }
}

/**
 * An event target that is told when one of its listeners fails
 */
export interface ListenerErrorTarget {
  onListenerError(event: Event, err: Error): void
}

type EventListener = ((event: any) => void) | { handleEvent(event: any): void }

const guardedListeners = new WeakMap<EventListener, (event: Event) => void>()

/**
 * An event listener that hands what it throws, or rejects, to the target of the event,
 * which must be a `ListenerErrorTarget`. The same listener always gives the same
 * result, so that it can be removed again
 */
export function guardListener (listener: EventListener | null): ((event: Event) => void) | null {
  if (listener == null) {
    return null
  }

  let guarded = guardedListeners.get(listener)

  if (guarded == null) {
    guarded = event => {
      // Node forgets the currentTarget after the first listener
      const target = event.target as EventTarget & ListenerErrorTarget

      try {
        const result: unknown = typeof listener === 'function' ? listener(event) : listener.handleEvent(event)

        if (result instanceof Promise) {
          result.catch(err => { target.onListenerError(event, err) })
        }
      } catch (err: any) {
        target.onListenerError(event, err)
      }
    }
    guardedListeners.set(listener, guarded)
    // an event target that removes a `once` listener names it as it was given it
    guardedListeners.set(guarded, guarded)
  }

  return guarded
}
