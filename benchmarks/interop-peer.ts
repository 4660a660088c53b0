import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import pDefer from 'p-defer'
import { IMPLEMENTATIONS } from '../test/interop/implementations.ts'
import { within } from '../test/stress/within.ts'
import type { Implementation } from '../test/interop/implementations.ts'

/**
 * How long a peer may take to start and for each benchmark, in ms. A measurement has
 * two of them
 */
const LIMIT = 25_000

/**
 * How long a peer may take to end, in ms
 */
const END_LIMIT = 5_000

/**
 * See test/interop/README.md
 */
export interface Bench {
  dials: number
  seconds: number
  cpuSeconds: number
  fromListeningPort: number
}

export interface BenchHold {
  connections: number
  rssBytesBefore: number
  rssBytesAfter: number
}

/**
 * A peer program of test/interop that listens on all addresses of this machine
 */
export interface InteropPeer {
  id: string
  port: number

  /**
   * @throws {Error} if the benchmark fails, or takes too long
   */
  bench(command: 'bench-dial' | 'bench-connect', ...args: Array<string | number>): Promise<Bench>
  bench(command: 'bench-hold', ...args: Array<string | number>): Promise<BenchHold>
  stop(): Promise<void>
}

export async function startInteropPeer (implementation: Implementation): Promise<InteropPeer> {
  const [program, ...args] = IMPLEMENTATIONS[implementation]
  const child = spawn(program, [...args, '--listen', '/ip4/0.0.0.0/tcp/0'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ready = pDefer<string>()
  const listening = pDefer<number>()
  const ended = once(child, 'close')
  let answer = pDefer<any>()

  const fail = (err: Error): void => {
    [ready, listening, answer].forEach(({ promise, reject }) => {
      // nobody may be waiting for it
      promise.catch(() => {})
      reject(err)
    })
  }

  ended.then(() => { fail(new Error(`The ${implementation} peer ended with code ${child.exitCode}`)) }, fail)
  // that it has ended is said above
  child.stdin.on('error', () => {})
  createInterface({ input: child.stdout }).on('line', line => {
    const { event, ...fields } = JSON.parse(line)

    if (event === 'ready') {
      ready.resolve(fields.peer)
    } else if (event === 'listening') {
      listening.resolve(Number(fields.address.split('/').at(-1)))
    } else if (event === 'bench') {
      answer.resolve(fields)
    } else if (event === 'bench-failed') {
      answer.reject(new Error(`${implementation}: ${fields.error}`))
    }
  })

  const stop = async (): Promise<void> => {
    child.stdin.end()
    await within(END_LIMIT, ended, `the end of the ${implementation} peer`).catch(() => { child.kill('SIGKILL') })
    await ended.catch(() => {})
  }

  try {
    const [id, port] = await within(LIMIT, Promise.all([ready.promise, listening.promise]), `the start of the ${implementation} peer`)

    return {
      id,
      port,
      async bench (command: string, ...args: Array<string | number>) {
        answer = pDefer()
        child.stdin.write(`${[command, ...args].join(' ')}\n`)

        return within(LIMIT, answer.promise, `${implementation}: ${command}`)
      },
      stop
    }
  } catch (err) {
    await stop()
    throw err
  }
}
