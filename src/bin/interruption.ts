import os from 'node:os'

/**
 * The user, or the system, wants the command to end
 */
export class Interrupted extends Error {
  readonly exitCode: number

  constructor (signal: 'SIGINT' | 'SIGTERM') {
    super(`Ended by ${signal}`)
    this.name = 'Interrupted'
    // as a shell says it of a process that a signal has ended
    this.exitCode = 128 + os.constants.signals[signal]
  }
}

/**
 * Aborts, with an {@link Interrupted} as its reason, on Ctrl-C or SIGTERM, so that
 * there is time to clean up. The second one ends the process at once
 */
export function interruption (): AbortSignal {
  const controller = new AbortController()

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      const interrupted = new Interrupted(signal)

      if (controller.signal.aborted) {
        process.exit(interrupted.exitCode)
      }

      controller.abort(interrupted)
    })
  }

  return controller.signal
}
