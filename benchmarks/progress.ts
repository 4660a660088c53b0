/**
 * How far the run is, on a terminal only
 */
export interface Progress {
  /**
   * The next of the steps begins
   */
  next(what: string): void

  /**
   * Clears the line
   */
  end(): void
}

export function showProgress (steps: number): Progress {
  const start = performance.now()
  let begun = 0

  const write = (text: string): void => {
    if (process.stdout.isTTY) {
      process.stdout.write(`\r\x1b[K${text}`)
    }
  }

  return {
    next (what) {
      const done = begun++
      const left = done === 0 ? '' : `, about ${minutes((performance.now() - start) / done * (steps - done))} left`

      write(`${begun} of ${steps}: ${what}${left}`)
    },
    end () {
      write('')
    }
  }
}

function minutes (ms: number): string {
  return ms < 60_000 ? `${Math.ceil(ms / 1_000)} s` : `${Math.ceil(ms / 60_000)} min`
}
