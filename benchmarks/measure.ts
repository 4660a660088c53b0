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
 * How long the measurement takes, and how long the warm-up before it takes, in ms
 */
const DURATION = 1_200
const WARM_UP = 1_000

/**
 * How many dials are made before the clock starts. The dials are then as fast as in a node that
 * runs for hours: a first dial takes twice the CPU of one after 40,000 others
 */
const DIAL_WARM_UP = 60_000

/**
 * How long dials are measured after that, in ms. It is enough for several garbage collections
 */
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
  heapBytes: number
}

/**
 * Messages or bytes per second over a connection without an upgrade, to a plain socket
 */
export function measureSends (size: number, unit: 'messages' | 'bytes'): Measure<number> {
  return withWitness(async (peer, witness) => warmedUp(async ms => {
    const { messages, port } = await peer.ask<Bench>('bench-send', size, ms, witness.port)
    const seconds = await witness.received(messages * size)
    expectSources(peer, await witness.accepted(1), 1, port)

    return messages * (unit === 'bytes' ? size : 1) / seconds
  }))
}

/**
 * Messages or bytes per second over one stream, in one direction
 */
export function measureStream (size: number, unit: 'messages' | 'bytes'): Measure<number> {
  return withTarget(async (peer, target) => warmedUp(async ms => {
    const { messages, received, seconds } = await peer.ask<Bench>('bench-stream', size, ms, portOf(target.endpoint), target.id)
    assert.equal(received, messages * size, 'bytes that arrived')

    return messages * (unit === 'bytes' ? size : 1) / seconds
  }))
}

/**
 * Requests with a response per second, one at a time on each stream
 */
export function measureRoundTrips (streams: number): Measure<number> {
  return withTarget(async (peer, target) => warmedUp(async ms => {
    const { responses, seconds } = await peer.ask<Bench>('bench-request', streams, ms, portOf(target.endpoint), target.id)

    return responses / seconds
  }))
}

export const measureDials = withWitness(async (peer, witness): Promise<Figures> => {
  for (let dials = 0; dials < DIAL_WARM_UP; dials += DIALS) {
    await dialAndClose(peer, witness)
  }

  return dialFigures('dial', DIALS, await repeatFor(DIAL_DURATION, async () => dialAndClose(peer, witness)))
})

/**
 * The CPU time of a dial while 0 to 16,000 other connections are open
 */
export const measureLive = withWitness(async (peer, witness): Promise<Figures> => {
  const figures: Figures = {}

  const cost = async (repetitions: number, live: number): Promise<number> => {
    const costs: number[] = []

    for (let i = 0; i < repetitions; i++) {
      costs.push((await dialAndClose(peer, witness, live)).cpuSeconds / DIALS)
    }

    return median(costs)
  }

  // the first dials are the warm-up
  await cost(15, 0)

  for (let live = 0; live <= LIVE; live += DIALS) {
    figures[`live-${live}`] = await cost(live % LIVE === 0 ? 5 : 1, live)

    if (live < LIVE) {
      await dial(peer, witness, live)
    }
  }

  return { ...figures, live: figures[`live-${LIVE}`] / figures['live-0'] }
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

  return {
    heap: (after.heapBytes - before.heapBytes) / 2 / IDLE,
    rss: (after.rssBytes - before.rssBytes) / 2 / IDLE
  }
})

/**
 * Connections per second that the listener accepts, without an upgrade. The process is stopped
 * until they are queued, so that only the listener's work is measured
 */
export const measureAccepts = withWitness(async (peer, witness): Promise<number> => {
  const { port } = await peer.ask<Bench>('bench-listen')

  return warmedUp(async ms => 1 / median(await repeatFor(ms, async () => {
    peer.signal('SIGSTOP')
    await witness.connect(port, ACCEPTS).finally(() => { peer.signal('SIGCONT') })

    const { accepted, seconds } = await peer.ask<Bench>('bench-accept', ACCEPTS)
    assert.equal(accepted, ACCEPTS, 'accepted connections')
    witness.disconnect()
    await witness.open(0)

    return seconds / (ACCEPTS - 1)
  })))
})

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

  const batches = await warmedUp(async ms => repeatFor(ms, async () => {
    const bench = await connect(CONNECTIONS)
    await peer.ask('bench-close', CONNECTIONS)
    await until(() => open() === 0)

    return bench
  }))

  const before = await peer.ask<Bench>('bench-memory')
  await connect(UPGRADED)
  await delay(SETTLED)
  const after = await peer.ask<Bench>('bench-memory')
  assert.equal(open(), UPGRADED, 'connections that are still open')

  return { ...dialFigures('connect', CONNECTIONS, batches), 'connect-rss': (after.rssBytes - before.rssBytes) / UPGRADED }
})

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

/**
 * The mean of all batches. The median would leave out the garbage collections, which are a cost
 * in a node that runs for hours
 */
function dialFigures (name: string, count: number, batches: Bench[]): Figures {
  const sum = (of: (batch: Bench) => number): number => batches.reduce((total, batch) => total + of(batch), 0)

  return {
    [`${name}-rate`]: count * batches.length / sum(({ seconds }) => seconds),
    [`${name}-cpu`]: sum(({ cpuSeconds }) => cpuSeconds) / count / batches.length
  }
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
  await measure(WARM_UP)

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
