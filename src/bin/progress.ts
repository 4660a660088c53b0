import type { WriteStream } from 'node:tty'

const MIN_COLUMNS = 20
const TO_START_AND_ERASE = '\r\x1b[K'

/**
 * One line that says what is being done
 */
export interface Progress {
  show(text: string): void

  /**
   * To be called before anything else is printed
   */
  erase(): void
}

/**
 * A line on the terminal; nothing if `stream` is none, or is one that can't erase
 */
export function progressLine (stream: Partial<Pick<WriteStream, 'isTTY' | 'columns'>> & Pick<WriteStream, 'write'>, terminal: string = ''): Progress {
  const possible = stream.isTTY === true && terminal !== 'dumb'
  let shown = false

  return {
    show: text => {
      if (possible) {
        // a line that wraps could not be erased; a terminal may say that it has no columns
        stream.write(TO_START_AND_ERASE + text.slice(0, Math.max(stream.columns ?? 0, MIN_COLUMNS) - 1))
        shown = true
      }
    },
    erase: () => {
      if (shown) {
        stream.write(TO_START_AND_ERASE)
        shown = false
      }
    }
  }
}
