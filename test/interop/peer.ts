import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { createInterface } from 'node:readline'
import { within } from '../stress/within.ts'
import { IMPLEMENTATIONS } from './implementations.ts'
import type { Implementation } from './implementations.ts'
import type { Namespace } from '../nat/namespace.ts'

/**
 * How long an event may be waited for, in ms
 */
const TIMEOUT = 20_000

/**
 * How long a peer may take to end, in ms
 */
const END_TIMEOUT = 5_000

/**
 * See README.md
 */
export interface PeerEvent {
  event: string
  [field: string]: unknown
}

export interface PeerInit {
  implementation: Implementation
  machine: Pick<Namespace, 'commandLine'>

  /**
   * Where others dial it
   */
  host: string

  /**
   * 0 for any
   */
  port: number

  /**
   * What it listens on, if not the wildcard
   */
  bind?: string
  flags?: string[]
}

/**
 * A peer program that runs in a machine of the lab, or in this one
 */
export interface Peer {
  readonly implementation: Implementation
  readonly id: string

  /**
   * Where it listens, as others see it
   */
  readonly endpoint: string

  /**
   * The same with its id
   */
  readonly address: string

  /**
   * How many events there were so far
   */
  mark(): number

  /**
   * Gives a command and waits for the event that answers it
   *
   * @throws {Error} if that says that it failed, or does not come in time
   */
  ask<T extends PeerEvent>(name: CommandName, ...args: Array<string | number>): Promise<T>

  /**
   * Waits for an event with these fields, no earlier than `since`
   *
   * @throws {Error} if it does not come in time
   */
  event(fields: PeerEvent, since?: number, timeout?: number): Promise<PeerEvent>

  /**
   * How many events with these fields there were so far
   */
  count(fields: PeerEvent): number

  /**
   * How many connections to this peer it has
   */
  connectionsTo(peer: string, relayed: boolean): number

  /**
   * Stands still from SIGSTOP until SIGCONT
   */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void
  stop(): Promise<void>

  /**
   * By SIGKILL
   */
  kill(): Promise<void>
}

/**
 * The events that answer a command, and the field with its first argument, if they
 * have it
 */
const ANSWERS = {
  dial: { done: 'dialed', failed: 'dial-failed', field: 'address' },
  reserve: { done: 'reserved', failed: 'reserve-failed', field: undefined },
  echo: { done: 'echoed', failed: 'echo-failed', field: 'peer' },
  close: { done: 'closed', failed: undefined, field: 'peer' },
  abort: { done: 'closed', failed: undefined, field: 'peer' }
}
const BENCH_ANSWERS = { done: 'bench', failed: 'bench-failed', field: undefined }

export type CommandName = keyof typeof ANSWERS | `bench-${string}`

export async function startPeer ({ implementation, machine, host, port, bind = host.includes(':') ? '::' : '0.0.0.0', flags = [] }: PeerInit): Promise<Peer> {
  const family = host.includes(':') ? 6 : 4
  const [program, ...args] = IMPLEMENTATIONS[implementation]
  const child = spawn(...machine.commandLine(program, ...args, '--listen', `/ip${family}/${bind}/tcp/${port}`, ...flags), { stdio: ['pipe', 'pipe', 'ignore'] })
  const ended = once(child, 'close')
  const arrivals = new EventEmitter()
  const events: PeerEvent[] = []

  arrivals.setMaxListeners(Infinity)
  // what it does not answer any more, the events that are missing tell
  child.stdin.on('error', () => {})
  createInterface({ input: child.stdout }).on('line', line => {
    events.push(JSON.parse(line))
    arrivals.emit('event')
  })
  ended.then(() => arrivals.emit('event'), () => {})

  const find = async (matches: (event: PeerEvent) => boolean, wanted: string, since: number, timeout: number): Promise<PeerEvent> => {
    const signal = AbortSignal.timeout(timeout)

    while (true) {
      const found = events.slice(since).find(matches)

      if (found != null) {
        return found
      }

      if (child.exitCode != null || signal.aborted) {
        throw new Error(`${implementation} did not say ${wanted}${child.exitCode == null ? ` within ${timeout} ms` : `, it ended with code ${child.exitCode}`}`)
      }

      await once(arrivals, 'event', { signal }).catch(() => {})
    }
  }

  const count = (fields: PeerEvent): number => events.filter(event => hasFields(event, fields)).length

  const id = `${(await find(({ event }) => event === 'ready', 'ready', 0, TIMEOUT)).peer}`
  const { address } = await find(({ event }) => event === 'listening', 'listening', 0, TIMEOUT)
  const endpoint = `/ip${family}/${host}/tcp/${portOf(`${address}`)}`

  return {
    implementation,
    id,
    endpoint,
    address: `${endpoint}/p2p/${id}`,
    mark: () => events.length,
    async ask <T extends PeerEvent> (name: CommandName, ...args: Array<string | number>) {
      const { done, failed, field } = ANSWERS[name as keyof typeof ANSWERS] ?? BENCH_ANSWERS
      const since = events.length
      child.stdin.write(`${[name, ...args].join(' ')}\n`)

      const answer = await find(event => {
        return (event.event === done || event.event === failed) && (field == null || event[field] === args[0])
      }, `that it has done '${name} ${args[0]}'`, since, TIMEOUT)

      if (answer.event === failed) {
        throw new Error(`${implementation}: ${answer.error}`)
      }

      return answer as T
    },
    event: async (fields, since = 0, timeout = TIMEOUT) => {
      return find(event => hasFields(event, fields), JSON.stringify(fields), since, timeout)
    },
    count,
    connectionsTo: (peer, relayed) => count({ event: 'connected', peer, relayed }) - count({ event: 'disconnected', peer, relayed }),
    signal: signal => { child.kill(signal) },
    stop: async () => {
      child.stdin.end()
      await within(END_TIMEOUT, ended, `the end of the ${implementation} peer`).catch(() => { child.kill('SIGKILL') })
      await ended
    },
    kill: async () => {
      child.kill('SIGKILL')
      await ended
    }
  }
}

function hasFields (event: PeerEvent, fields: PeerEvent): boolean {
  return Object.entries(fields).every(([name, value]) => event[name] === value)
}

/**
 * The port in an address that ends with it
 */
export function portOf (address: string): number {
  return Number(address.split('/').at(-1))
}
