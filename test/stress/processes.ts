import { fork } from 'node:child_process'
import { once } from 'node:events'
import pDefer from 'p-defer'
import { within } from './within.ts'
import type { Call, Commands, Report } from './participant.ts'
import type { DeferredPromise } from 'p-defer'

/**
 * How long a participant may take for what it is asked, in ms
 */
const CALL_LIMIT = 4 * 60_000

/**
 * How long a participant may take to end, in ms
 */
const END_LIMIT = 5_000

/**
 * The parent's side of a process
 */
export interface Participant<C extends Commands> {
  ask<N extends string & keyof C>(command: N, ...args: Parameters<C[N]>): Promise<Awaited<ReturnType<C[N]>>>
  stop(): Promise<void>
}

export interface ParticipantOptions {
  nodeOptions?: string[]
  onTrouble(trouble: string): void
  onProgress(progress: string): void
}

export function startParticipant <C extends Commands> (script: string, { nodeOptions, onTrouble, onProgress }: ParticipantOptions): Participant<C> {
  const child = fork(new URL(script, import.meta.url), { execArgv: nodeOptions })
  const calls = new Map<number, DeferredPromise<any>>()
  const exited = once(child, 'exit')
  let nextId = 0
  let stopping = false

  child.on('message', (report: Report) => {
    if ('trouble' in report) {
      onTrouble(report.trouble)
    } else if ('progress' in report) {
      onProgress(report.progress)
    } else {
      const call = calls.get(report.id)
      calls.delete(report.id)

      if ('error' in report) {
        call?.reject(new Error(report.error))
      } else {
        call?.resolve(report.result)
      }
    }
  })

  child.once('exit', (code, signal) => {
    const how = `it ended: ${signal ?? `code ${code}`}`

    if (!stopping || code !== 0) {
      onTrouble(how)
    }

    calls.forEach(call => { call.reject(new Error(`${script}: ${how}`)) })
  })

  return {
    async ask (command, ...args) {
      const call = pDefer<any>()
      const id = nextId++
      const message: Call = { id, command, args }

      calls.set(id, call)
      child.send(message, err => {
        if (err != null) {
          call.reject(err)
        }
      })

      return within(CALL_LIMIT, call.promise, `${script}: ${command}`)
    },
    async stop () {
      stopping = true

      if (child.connected) {
        child.disconnect()
      }

      await within(END_LIMIT, exited, `the end of ${script}`).catch(() => { child.kill('SIGKILL') })
      await exited
    }
  }
}
