import { spawn } from 'node:child_process'
import path from 'node:path'
import type { ChildProcess } from 'node:child_process'

/**
 * The directory of this repository
 */
export const ROOT = path.join(import.meta.dirname, '../..')

/**
 * How long a command may take, in ms
 */
const LIMIT = 3 * 60_000

export interface RunOptions {
  cwd: string

  /**
   * How long it may take, in ms
   *
   * @default 180_000
   */
  limit?: number
}

/**
 * A command was not done in time or its exit code was not 0
 */
export class CommandError extends Error {
  readonly output: string

  constructor (message: string, output: string) {
    super(`${message}\n${output}`)
    this.name = 'CommandError'
    this.output = output
  }
}

const running = new Set<ChildProcess>()
process.once('exit', () => { running.forEach(kill) })

/**
 * Runs a command: one of `node_modules/.bin` of this repository, or else one of the
 * machine. `node` is the Node that runs this
 *
 * @returns what it printed to stdout
 * @throws {CommandError}
 */
export async function run (command: string, args: string[], { cwd, limit = LIMIT }: RunOptions): Promise<string> {
  const child = spawn(command, args, {
    cwd,
    env: {
      ...process.env,
      PATH: [path.dirname(process.execPath), path.join(ROOT, 'node_modules/.bin'), process.env.PATH].join(path.delimiter)
    },
    // a group of its own, so that its children can be ended as well
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let stdout = ''
  let output = ''
  let late = false

  child.stdout.setEncoding('utf-8').on('data', text => {
    stdout += text
    output += text
  })
  child.stderr.setEncoding('utf-8').on('data', text => { output += text })

  running.add(child)
  const timer = setTimeout(() => {
    late = true
    kill(child)
  }, limit)

  try {
    const [code, signal] = await closed(child)

    if (code !== 0) {
      const how = late ? `not done after ${limit / 1000} s` : `it ended with ${signal ?? `exit code ${code}`}`
      throw new CommandError(`${command} ${args.join(' ')}: ${how}`, output)
    }

    return stdout
  } finally {
    clearTimeout(timer)
    running.delete(child)
  }
}

async function closed (child: ChildProcess): Promise<[number | null, NodeJS.Signals | null]> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => { resolve([code, signal]) })
  })
}

function kill (child: ChildProcess): void {
  if (child.pid != null) {
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch (err: any) {
      // it has ended already
      if (err.code !== 'ESRCH') {
        throw err
      }
    }
  }
}
