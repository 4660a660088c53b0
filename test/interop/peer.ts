import { EventEmitter } from 'node:events'
import { pEvent } from 'p-event'
import { portOf } from '../kit/addresses.ts'
import { startProgram } from '../kit/processes.ts'
import { within } from '../kit/wait.ts'
import { IMPLEMENTATIONS } from './implementations.ts'
import type { Implementation } from './implementations.ts'
import type { Program } from '../kit/processes.ts'
import type { Namespace } from '../lab/namespace.ts'

/** How long an event may be waited for, in ms */
const TIMEOUT = 20_000

/** See README.md */
export interface PeerEvent {
  event: string

  /** When this process read it, in ms */
  at?: number
  [field: string]: unknown
}

export interface PeerInit {
  implementation: Implementation
  machine: Pick<Namespace, 'commandLine'>

  /** Where others dial it */
  host: string

  /** 0 for any */
  port: number

  /** What it listens on, if not the wildcard */
  bind?: string
  flags?: string[]
}

/** A peer program that runs in a machine of the lab, or in this one */
export interface Peer extends Pick<Program, 'pid' | 'signal' | 'stop'> {
  readonly implementation: Implementation
  readonly id: string

  /** Where it listens, as others see it */
  readonly endpoint: string

  /** The same with its id */
  readonly address: string

  /** How many events there were so far */
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

  /** How many events with these fields there were so far */
  count(fields: PeerEvent): number

  /** How many connections to this peer it has */
  connectionsTo(peer: string, relayed: boolean): number

  /** Was there a moment without any connection to this peer, after the first one? */
  hasLost(peer: string): boolean

  /** By SIGKILL */
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
  state: { done: 'state', failed: undefined, field: undefined },
  close: { done: 'closed', failed: undefined, field: 'peer' },
  abort: { done: 'closed', failed: undefined, field: 'peer' }
}
/** The events by which the number of connections to a peer changes */
const CHANGES: Record<string, number> = { connected: 1, disconnected: -1 }

export type CommandName = keyof typeof ANSWERS

export async function startPeer ({ implementation, machine, host, port, bind = host.includes(':') ? '::' : '0.0.0.0', flags = [] }: PeerInit): Promise<Peer> {
  const family = host.includes(':') ? 6 : 4
  const [program, ...args] = IMPLEMENTATIONS[implementation]
  const commandLine = machine.commandLine(program, ...args, '--listen', `/ip${family}/${bind}/tcp/${port}`, ...flags)
  const arrivals = new EventEmitter()
  const ended = new AbortController()
  const events: PeerEvent[] = []

  arrivals.setMaxListeners(Infinity)
  const child = startProgram(...commandLine, line => {
    events.push({ ...JSON.parse(line), at: Date.now() })
    arrivals.emit('event', events.at(-1))
    // nobody reads what Go and Rust log unasked
  }, process.env.DEBUG == null ? 'ignore' : 'inherit')
  void child.ended.then(how => { ended.abort(new Error(`${implementation} ended: ${how}`)) })

  const find = async (matches: (event: PeerEvent) => boolean, wanted: string, since: number, timeout: number): Promise<PeerEvent> => {
    return events.slice(since).find(matches) ??
      within(timeout, pEvent<'event', PeerEvent>(arrivals, 'event', { filter: matches, signal: ended.signal }), `${implementation}, to say ${wanted},`)
  }

  const hasLost = (peer: string): boolean => {
    let open = 0

    return events.filter(event => event.peer === peer).some(({ event }) => {
      open += CHANGES[event] ?? 0

      return event === 'disconnected' && open === 0
    })
  }

  const count = (fields: PeerEvent): number => events.filter(event => hasFields(event, fields)).length

  const id = `${(await find(({ event }) => event === 'ready', 'ready', 0, TIMEOUT)).peer}`
  const { address } = await find(({ event }) => event === 'listening', 'listening', 0, TIMEOUT)
  const endpoint = `/ip${family}/${host}/tcp/${portOf(`${address}`)}`

  return {
    pid: child.pid,
    implementation,
    id,
    endpoint,
    address: `${endpoint}/p2p/${id}`,
    mark: () => events.length,
    async ask <T extends PeerEvent> (name: CommandName, ...args: Array<string | number>) {
      const { done, failed, field } = ANSWERS[name]
      const since = events.length
      child.tell([name, ...args].join(' '))

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
    hasLost,
    signal: child.signal,
    stop: child.stop,
    kill: async () => {
      child.signal('SIGKILL')
      await child.ended
    }
  }
}

function hasFields (event: PeerEvent, fields: PeerEvent): boolean {
  return Object.entries(fields).every(([name, value]) => event[name] === value)
}
