import { defaultLogger } from '@libp2p/logger'
import type { ComponentLogger, Logger } from '@libp2p/interface'

/**
 * Some components tell only their log what they do
 *
 * @param component - whose lines
 * @param onLine - invoked with the format and the arguments of each line
 * @returns a logger for `createLibp2p` that does what the default one does as well
 */
export function watchLog (component: string, onLine: (format: string, args: any[]) => void): ComponentLogger {
  const logger = defaultLogger()

  return {
    forComponent: name => {
      const log = logger.forComponent(name)

      return name === component ? watched(log, onLine) : log
    }
  }
}

function watched (log: Logger, onLine: (format: string, args: any[]) => void): Logger {
  const watch = <T extends (...args: any[]) => void> (write: T): T => Object.assign((format: string, ...args: any[]) => {
    write(format, ...args)
    onLine(format, args)
  }, write)

  return Object.assign(watch(log), { error: watch(log.error) })
}
