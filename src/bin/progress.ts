import type { WriteStream } from 'node:tty'

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
  const visible = stream.isTTY === true && terminal !== 'dumb'
  const replace = (text: string): void => {
    if (visible) {
      stream.write(TO_START_AND_ERASE + text)
    }
  }

  return {
    show: text => {
      // a line that wraps could not be erased
      replace(text.slice(0, (stream.columns ?? 80) - 1))
    },
    erase: () => { replace('') }
  }
}
