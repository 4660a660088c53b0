import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { raceSignal } from 'race-signal'

/**
 * How long an answer may take, in ms
 */
const TIMEOUT = 10_000

/**
 * A process that answers each line with a line and ends when its stdin does. So
 * it ends with this process, even if that is killed
 */
export interface Helper {
  readonly pid: number

  /**
   * @throws {Error} if it ends without an answer, or takes too long
   */
  ask(line: string): Promise<string>

  /**
   * Resolves when it has ended
   */
  stop(): Promise<void>
}

export function startHelper (command: string, args: string[]): Helper {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ended = once(child, 'close')

  // if it has gone, the answer that does not come says so
  child.stdin.on('error', () => {})

  return {
    pid: child.pid ?? 0,
    ask: async line => {
      child.stdin.write(`${line}\n`)
      const { done, value } = await raceSignal(lines.next(), AbortSignal.timeout(TIMEOUT))

      if (done === true) {
        throw new Error(`${command} ${args.join(' ')} did not answer '${line}'`)
      }

      return value
    },
    stop: async () => {
      child.kill()
      await ended
    }
  }
}
