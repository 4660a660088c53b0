/** Other processes. They end when this one does, however it ends */

import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import pDefer from 'p-defer'
import { pEvent } from 'p-event'
import { within } from './wait.ts'
import type { Functions, Said } from './serve.ts'
import type { ChildProcess, ForkOptions } from 'node:child_process'
import type { DeferredPromise } from 'p-defer'

/** How long an answer may take, in ms, and how long a process may take to end */
const ANSWER_LIMIT = 30_000
const END_LIMIT = 5_000

/** A TypeScript file that runs in a process of its own, and calls `serve` */
export interface Script<F extends Functions> {
  readonly pid?: number

  /**
   * Calls one of its functions
   *
   * @throws {Error} what the function threw, or if there is no answer in time
   */
  ask<Name extends keyof F & string>(name: Name, ...args: Parameters<F[Name]>): Promise<Awaited<ReturnType<F[Name]>>>

  /** @returns how it ended: `code 0` if all was well */
  stop(): Promise<string>

  /** By SIGKILL, so that it can't clean up */
  kill(): Promise<void>
}

export interface ScriptOptions {
  /** How long an answer may take, in ms. 30,000 by default */
  limit?: number

  /** Invoked with what it says without being asked */
  onNews?(kind: string, text: string): void
}

export function startScript <F extends Functions> (script: URL, args: string[] = [], { limit, onNews, ...options }: ScriptOptions & ForkOptions = {}): Script<F> {
  return talkTo(fork(script, args, options), `${script.pathname.split('/').at(-1)}`, { limit, onNews })
}

/** The same with a process that runs already */
export function talkTo <F extends Functions> (child: ChildProcess, name: string, { limit = ANSWER_LIMIT, onNews }: ScriptOptions = {}): Script<F> {
  let lastId = 0
  const ended = endOf(child, 'exit')

  // one for each answer that is waited for
  child.setMaxListeners(Infinity).on('message', (said: Said) => {
    if ('news' in said) {
      onNews?.(said.news, said.text)
    }
  })

  return {
    pid: child.pid,
    async ask (command, ...args) {
      const id = ++lastId
      const answer = pEvent<'message', any>(child, 'message', { filter: said => said.id === id, rejectionEvents: [] })
      // if it has gone, `ended` says so
      child.send({ id, name: command, args }, () => {})
      const { error, result } = await within(limit, unlessEnded(answer, ended, name), `${name}: ${command}`).finally(() => { answer.cancel() })

      if (error != null) {
        throw Object.assign(new Error(error.message), error)
      }

      return result
    },
    async stop () {
      if (child.connected) {
        child.disconnect()
      }

      return killIfLate(child, ended)
    },
    async kill () {
      child.kill('SIGKILL')
      await ended
    }
  }
}

/** A command that reads lines and says lines, and ends when its stdin does */
export interface Program {
  readonly pid: number

  /** Resolves when it has ended, with how */
  readonly ended: Promise<string>
  tell(line: string): void
  signal(signal: NodeJS.Signals): void
  stop(): Promise<string>
}

export function startProgram (command: string, args: string[], onLine: (line: string) => void, stderr: 'inherit' | 'ignore' = 'inherit'): Program {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', stderr as 'inherit'] })
  // when all that it said was read, too
  const ended = endOf(child, 'close')
  let rest = ''

  // if it has gone, `ended` says so
  child.stdin.on('error', () => {})
  // unlike readline, without a last line that has no line feed: it may have been cut off
  child.stdout.setEncoding('utf-8').on('data', (data: string) => {
    const lines = (rest + data).split('\n')
    rest = lines.pop() ?? ''
    lines.forEach(onLine)
  })

  return {
    pid: child.pid ?? 0,
    ended,
    tell: line => { child.stdin.write(`${line}\n`) },
    signal: signal => { child.kill(signal) },
    stop: async () => {
      child.stdin.end()

      return killIfLate(child, ended)
    }
  }
}

/** A program that answers each line with a line */
export interface Helper extends Program {
  /** @throws {Error} if it ends without an answer, or takes too long */
  ask(line: string): Promise<string>
}

export function startHelper (command: string, args: string[]): Helper {
  const asked: Array<DeferredPromise<string>> = []
  const program = startProgram(command, args, line => { asked.shift()?.resolve(line) })

  return {
    ...program,
    async ask (line) {
      const answer = pDefer<string>()
      asked.push(answer)
      program.tell(line)

      return within(ANSWER_LIMIT, unlessEnded(answer.promise, program.ended, command), `${command}: ${line}`)
    }
  }
}

async function unlessEnded <T> (answer: Promise<T>, ended: Promise<string>, name: string): Promise<T> {
  return Promise.race([answer, ended.then(how => { throw new Error(`${name} ended: ${how}`) })])
}

async function endOf (child: ChildProcess, event: 'exit' | 'close'): Promise<string> {
  return once(child, event).then(([code, signal]) => signal ?? `code ${code}`, (err: Error) => err.message)
}

async function killIfLate (child: ChildProcess, ended: Promise<string>): Promise<string> {
  const late = setTimeout(() => { child.kill('SIGKILL') }, END_LIMIT)

  return ended.finally(() => { clearTimeout(late) })
}
