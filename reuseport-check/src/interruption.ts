import os from 'node:os'

/**
 * Aborts on Ctrl-C or SIGTERM, so that there is time to clean up. The reason is an error with
 * an `exitCode`, the one that a shell reports for a process that this signal ended. A second
 * signal ends the process at once
 */
export function interruption (): AbortSignal {
  const controller = new AbortController()

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const exitCode = 128 + os.constants.signals[signal]

    process.on(signal, () => {
      if (controller.signal.aborted) {
        process.exit(exitCode)
      }

      controller.abort(Object.assign(new Error(`Ended by ${signal}`), { exitCode }))
    })
  }

  return controller.signal
}
