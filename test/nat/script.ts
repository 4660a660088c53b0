import { fork } from 'node:child_process'
import { once } from 'node:events'
import { pEvent } from 'p-event'
import type { ForkOptions } from 'node:child_process'

/**
 * What a script offers to the process that started it. Arguments and results
 * travel as JSON
 */
export type Functions = Record<string, (...args: any[]) => Promise<unknown>>

/**
 * A script that runs in a process of its own
 */
export interface Script<T extends Functions> {
  /**
   * Calls one of its functions
   *
   * @throws {Error} with the message of what the function threw
   */
  call<Name extends keyof T & string>(name: Name, ...args: Parameters<T[Name]>): Promise<Awaited<ReturnType<T[Name]>>>
  stop(): Promise<void>
}

interface Call {
  id: number
  name: string
  args: unknown[]
}

interface Answer {
  id: number
  result?: any
  error?: string
}

/**
 * The answer with which the script says that it can be called
 */
const READY = 0

/**
 * How long a call may take, in ms. A hole punch is given up after 17 s
 */
const TIMEOUT = 30_000

/**
 * To be called in the script. `start` gets the script's arguments
 */
export async function serve (start: (...args: string[]) => Promise<Functions>): Promise<void> {
  // however the parent ended, it leaves no script behind
  process.once('disconnect', () => { process.exit() })

  if (!process.connected) {
    process.exit()
  }

  const functions = await start(...process.argv.slice(2))
  const answer = (message: Answer): void => { process.send?.(message, () => {}) }

  process.on('message', ({ id, name, args }: Call) => {
    functions[name](...args).then(
      result => { answer({ id, result }) },
      err => { answer({ id, error: err.message }) }
    )
  })

  answer({ id: READY })
}

export async function startScript <T extends Functions> (script: URL, args: string[], options: ForkOptions): Promise<Script<T>> {
  const child = fork(script, args, options)
  const ended = new AbortController()
  let lastId = READY

  child.once('exit', (code, signal) => {
    ended.abort(new Error(`${script.pathname} ended: ${signal ?? `code ${code}`}`))
  })

  const answerTo = async (id: number): Promise<Answer> => pEvent<'message', Answer>(child, 'message', {
    filter: answer => answer.id === id,
    signal: ended.signal,
    timeout: TIMEOUT
  })

  await answerTo(READY)

  return {
    call: async (name, ...args) => {
      const call: Call = { id: ++lastId, name, args }
      const answered = answerTo(call.id)
      // if it has ended, that is what `answered` throws
      child.send(call, () => {})
      const { result, error } = await answered

      if (error != null) {
        throw new Error(error)
      }

      return result
    },
    stop: async () => {
      if (!ended.signal.aborted) {
        child.kill()
        await once(ended.signal, 'abort')
      }
    }
  }
}
