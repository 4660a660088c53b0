/**
 * Each measurement starts its own peers (see test/interop/README.md), with an empty heap and
 * no compiled code. It fails if something that should happen did not happen
 */

import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { startPeer } from '../test/interop/peer.ts'
import { portOf } from '../test/kit/addresses.ts'
import { median } from '../test/kit/statistics.ts'
import { until } from '../test/kit/wait.ts'
import { cpuSeconds } from './cpu-time.ts'
import { startWitness } from './witness.ts'
import type { Witness } from './witness.ts'
import type { Implementation } from '../test/interop/implementations.ts'
import type { Peer, PeerEvent } from '../test/interop/peer.ts'

export type Measure<T> = (contestant: Implementation) => Promise<T>

/**
 * The figure of each metric, in its unit
 */
export type Figures = Record<string, number>

/**
 * What is measured of an operation
 */
export interface Speed {
  perSecond: number

  /**
   * The CPU time of both ends for each operation, user and system, in seconds
   */
  cpuSeconds: number
}

/**
 * What comes before the clock starts, in every measurement: so many dials, so many connections
 * with an upgrade, or so many ms of what is measured. A process then runs as one that has run
 * for hours: a first dial takes twice the CPU of one after 40,000 others
 */
export const WARM_UP = { dials: 60_000, connections: 1_000, ms: 1_500 }

/**
 * How long is measured after that, in ms. It is enough for several garbage collections
 */
const DURATION = 1_500
const DIAL_DURATION = 4_000

/**
 * How many dials are measured together
 */
const DIALS = 1_000
const CONNECTIONS = 200

/**
 * How many connections wait at once for the listener. They fit into its queue
 */
const ACCEPTS = 500

/**
 * How many connections are kept open to measure their cost
 */
const IDLE = 2_500
const UPGRADED = 1_000
const LIVE = 16_000
const LIVE_STEP = 2_000

/**
 * How many batches of dials are measured at each step
 */
const LIVE_BATCHES = 5

/**
 * How long it takes until upgraded connections are quiet, in ms
 */
const SETTLED = 2_000

/**
 * See test/interop/README.md
 */
interface Bench extends PeerEvent {
  port: number
  seconds: number
  cpuSeconds: number
  messages: number
  received: number
  responses: number
  accepted: number
  rssBytes: number

  /**
   * Of JS only
   */
  heapBytes?: number
}

/**
 * Messages or bytes per second over a connection without an upgrade, to a plain socket
 */
export function measureSends (size: number, unit: 'messages' | 'bytes'): Measure<Speed> {
  return withWitness(async (peer, witness) => warmedUp(async ms => {
    const { cpu, result: { messages, seconds } } = await withCpu([peer, witness], async () => {
      const { messages, port } = await peer.ask<Bench>('bench-send', size, ms, witness.port)
      const seconds = await witness.received(messages * size)
      expectSources(peer, await witness.accepted(1), 1, port)

      return { messages, seconds }
    })

    return { perSecond: messages * (unit === 'bytes' ? size : 1) / seconds, cpuSeconds: cpu / messages }
  }))
}

/**
 * Messages or bytes per second over one stream, in one direction
 */
export function measureStream (size: number, unit: 'messages' | 'bytes'): Measure<Speed> {
  return withTarget(async (peer, target) => warmedUp(async ms => {
    const { cpu, result: { messages, received, seconds } } = await withCpu([peer, target], async () => peer.ask<Bench>('bench-stream', size, ms, portOf(target.endpoint), target.id))
    assert.equal(received, messages * size, 'bytes that arrived')

    return { perSecond: messages * (unit === 'bytes' ? size : 1) / seconds, cpuSeconds: cpu / messages }
  }))
}

/**
 * Requests with a response per second, one at a time on each stream
 */
export function measureRoundTrips (streams: number): Measure<Speed> {
  return withTarget(async (peer, target) => warmedUp(async ms => {
    const { cpu, result: { responses, seconds } } = await withCpu([peer, target], async () => peer.ask<Bench>('bench-request', streams, ms, portOf(target.endpoint), target.id))

    return { perSecond: responses / seconds, cpuSeconds: cpu / responses }
  }))
}

export const measureDials = withWitness(async (peer, witness): Promise<Speed> => {
  await warmUpDials(peer, witness)

  return speedOf(DIALS, await withCpu([peer, witness], async () => repeatFor(DIAL_DURATION, async () => dialAndClose(peer, witness))))
})

/**
 * The CPU time of the process that dials, for a dial while 0 to 16,000 other connections are
 * open
 */
export const measureLive = withWitness(async (peer, witness): Promise<Figures> => {
  const figures: Figures = {}
  await warmUpDials(peer, witness)

  for (let live = 0; live <= LIVE; live += LIVE_STEP) {
    let seconds = 0

    for (let i = 0; i < LIVE_BATCHES; i++) {
      seconds += (await dialAndClose(peer, witness, live)).cpuSeconds
    }

    figures[`live-${live}`] = seconds / LIVE_BATCHES / DIALS

    if (live < LIVE) {
      await dial(peer, witness, live, LIVE_STEP)
    }
  }

  return figures
})

/**
 * The memory that each connection without an upgrade adds to a process. One half was dialed,
 * the other half accepted
 */
export const measureMemory = withWitness(async (peer, witness): Promise<Figures> => {
  // compiled code is not part of a connection's memory
  await dialAndClose(peer, witness, 0, IDLE)

  const before = await peer.ask<Bench>('bench-memory')
  const { port } = await dial(peer, witness, 0, IDLE)

  for (let accepted = 0; accepted < IDLE; accepted += ACCEPTS) {
    await witness.connect(port, ACCEPTS)
    await peer.ask('bench-accept', ACCEPTS)
  }

  const after = await peer.ask<Bench>('bench-memory')
  await witness.open(2 * IDLE)

  return memoryOf('', before, after, 2 * IDLE)
})

/**
 * Connections per second that the listener accepts, without an upgrade. The process is stopped
 * until they are queued, so that only the listener's work is measured
 */
export const measureAccepts = withWitness(async (peer, witness): Promise<Speed> => {
  const { port } = await peer.ask<Bench>('bench-listen')

  return warmedUp(async ms => {
    const { cpu, result } = await withCpu([peer, witness], async () => repeatFor(ms, async () => accept(peer, witness, port)))

    return { perSecond: 1 / median(result), cpuSeconds: cpu / ACCEPTS / result.length }
  })
})

/**
 * @returns how many seconds each of the connections took
 */
async function accept (peer: Peer, witness: Witness, port: number): Promise<number> {
  peer.signal('SIGSTOP')
  await witness.connect(port, ACCEPTS).finally(() => { peer.signal('SIGCONT') })

  const { accepted, seconds } = await peer.ask<Bench>('bench-accept', ACCEPTS)
  assert.equal(accepted, ACCEPTS, 'accepted connections')
  witness.disconnect()
  await witness.open(0)

  return seconds / (ACCEPTS - 1)
}

/**
 * Connections with noise and yamux
 */
export const measureConnections = withTarget(async (peer, target): Promise<Figures> => {
  const inbound = { event: 'connected', direction: 'inbound' }
  // rust-libp2p listens on another port each time
  const ports = new Set<number>()
  let connections = 0

  const open = (): number => connections - target.count({ ...inbound, event: 'disconnected' })

  const connect = async (count: number): Promise<Bench> => {
    const bench = await peer.ask<Bench>('bench-dial', count, portOf(target.endpoint), target.id)
    connections += count
    ports.add(bench.port)
    await until(() => target.count(inbound) >= connections)

    const fromPorts = [...ports].reduce((sum, port) => sum + target.count({ ...inbound, remote: `/ip4/127.0.0.1/tcp/${port}` }), 0)
    assert.equal(target.count(inbound), connections, 'connections that the target saw')
    assert.equal(fromPorts, fromListeningPort(peer, connections), 'connections from the listening port')

    return bench
  }

  const connectAndClose = async (): Promise<Bench> => {
    const bench = await connect(CONNECTIONS)
    await peer.ask('bench-close', CONNECTIONS)
    await until(() => open() === 0)

    return bench
  }

  while (connections < WARM_UP.connections) {
    await connectAndClose()
  }

  const speed = speedOf(CONNECTIONS, await withCpu([peer, target], async () => repeatFor(DIAL_DURATION, connectAndClose)))

  const before = await peer.ask<Bench>('bench-memory')
  await connect(UPGRADED)
  await delay(SETTLED)
  const after = await peer.ask<Bench>('bench-memory')
  assert.equal(open(), UPGRADED, 'connections that are still open')

  return { ...figuresOf('connections', speed), ...memoryOf('connections-', before, after, UPGRADED) }
})

export function figuresOf (name: string, { perSecond, cpuSeconds }: Speed): Figures {
  return { [name]: perSecond, [`${name}-cpu`]: cpuSeconds }
}

/**
 * Dials while this many connections are open, and checks that the witness saw the dials
 */
async function dial (peer: Peer, witness: Witness, live: number, count: number = DIALS): Promise<Bench> {
  const bench = await peer.ask<Bench>('bench-dial', count, witness.port)
  expectSources(peer, await witness.accepted(count), count, bench.port)
  await witness.open(live + count)

  return bench
}

async function dialAndClose (peer: Peer, witness: Witness, live: number = 0, count: number = DIALS): Promise<Bench> {
  const bench = await dial(peer, witness, live, count)
  await peer.ask('bench-close', count)
  await witness.open(live)

  return bench
}

async function warmUpDials (peer: Peer, witness: Witness): Promise<void> {
  for (let dials = 0; dials < WARM_UP.dials; dials += DIALS) {
    await dialAndClose(peer, witness)
  }
}

/**
 * The mean of all batches. The median would leave out the garbage collections, which are a cost
 * in a node that runs for hours. Their time is without closing, their CPU time includes it
 */
function speedOf (count: number, { cpu, result: batches }: { cpu: number, result: Bench[] }): Speed {
  const seconds = batches.reduce((sum, batch) => sum + batch.seconds, 0)

  return { perSecond: count * batches.length / seconds, cpuSeconds: cpu / count / batches.length }
}

function memoryOf (prefix: string, before: Bench, after: Bench, connections: number): Figures {
  return {
    [`${prefix}rss`]: (after.rssBytes - before.rssBytes) / connections,
    ...(before.heapBytes == null || after.heapBytes == null ? {} : { [`${prefix}heap`]: (after.heapBytes - before.heapBytes) / connections })
  }
}

/**
 * @returns also the CPU time that both ends have used for the task, in seconds
 */
async function withCpu <T> (ends: Array<{ pid: number }>, task: () => Promise<T>): Promise<{ cpu: number, result: T }> {
  const pids = ends.map(({ pid }) => pid)
  const before = cpuSeconds(pids)
  const result = await task()

  return { cpu: cpuSeconds(pids) - before, result }
}

function expectSources (peer: Peer, sources: number[], count: number, port: number): void {
  assert.equal(sources.length, count, 'connections that arrived')
  assert.equal(sources.filter(source => source === port).length, fromListeningPort(peer, count), 'connections from the listening port')
}

/**
 * How many of the connections must come from the listening port
 */
function fromListeningPort ({ implementation }: Peer, connections: number): number {
  return implementation === '@libp2p/tcp' ? 0 : connections
}

async function warmedUp <T> (measure: (ms: number) => Promise<T>): Promise<T> {
  await measure(WARM_UP.ms)

  return measure(DURATION)
}

/**
 * Repeats `task` for this many ms
 */
async function repeatFor <T> (ms: number, task: () => Promise<T>): Promise<T[]> {
  const end = performance.now() + ms
  const results: T[] = []

  do {
    results.push(await task())
  } while (performance.now() < end)

  return results
}

function withWitness <T> (measure: (peer: Peer, witness: Witness) => Promise<T>): Measure<T> {
  return async contestant => {
    const witness = await startWitness()

    return withPeer(contestant, async peer => measure(peer, witness)).finally(() => { witness.stop() })
  }
}

/**
 * Also starts a target, a second peer of the same kind
 */
function withTarget <T> (measure: (peer: Peer, target: Peer) => Promise<T>): Measure<T> {
  return async contestant => withPeer(contestant, async target => withPeer(contestant, async peer => measure(peer, target)))
}

async function withPeer <T> (implementation: Implementation, use: (peer: Peer) => Promise<T>): Promise<T> {
  const machine: Parameters<typeof startPeer>[0]['machine'] = { commandLine: (command, ...args) => [command, args] }
  const peer = await startPeer({ implementation, machine, host: '127.0.0.1', bind: '0.0.0.0', port: 0 })

  return use(peer).finally(async () => peer.stop())
}
