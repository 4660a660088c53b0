/**
 * Each measurement starts processes of its own (peer.ts), with an empty heap and no compiled code.
 * It fails if something that should happen did not happen
 */

import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { startScript } from '../test/kit/processes.ts'
import { median } from '../test/kit/statistics.ts'
import { until } from '../test/kit/wait.ts'
import { cpuSeconds } from './cpu-time.ts'
import { Witness } from './witness.ts'
import type { BenchPeer } from './peer.ts'
import type { Script } from '../test/kit/processes.ts'

/** The two that are compared with each other */
export const CONTESTANTS = ['ours', '@libp2p/tcp'] as const

export type Contestant = typeof CONTESTANTS[number]
export type Measure<T> = (contestant: Contestant) => Promise<T>

/** The figure of each metric, in its unit */
export type Figures = Record<string, number>

/** What is measured of an operation */
export interface Speed {
  perSecond: number

  /** The CPU time of both ends for each operation, user and system, in seconds */
  cpuSeconds: number
}

/**
 * What comes before the clock starts, in every measurement: so many dials, so many connections
 * with an upgrade, or so many ms of what is measured. A process then runs as one that has run
 * for hours: a first dial takes twice the CPU of one after 40,000 others
 */
export const WARM_UP = { dials: 60_000, connections: 1_000, ms: 1_500 }

/** How long is measured after that, in ms. It is enough for several garbage collections */
const DURATION = 1_500
const DIAL_DURATION = 4_000

/** How many dials are measured together */
const DIALS = 1_000
const CONNECTIONS = 200

/** How many connections wait at once for the listener. They fit into its queue */
const ACCEPTS = 500

/** How many connections are kept open to measure their cost */
const IDLE = 2_500
const UPGRADED = 1_000
const LIVE = 16_000
const LIVE_STEP = 2_000

/** How many batches of dials are measured at each step */
const LIVE_BATCHES = 5

/** How long it takes until upgraded connections are quiet, in ms */
const SETTLED = 2_000

/** A process that is measured */
interface Measured {
  peer: Script<BenchPeer>

  /** What it listens on */
  port: number

  /** Expects as many connections from this port as there must be */
  expectSources(sources: number[], count: number): void
}

/** The other end of connections without an upgrade, and where it listens */
interface Raw extends Measured {
  witness: Witness
  to: number
}

/** The other end of upgraded connections */
interface Upgraded extends Measured {
  target: Script<BenchPeer>
  to: { port: number, id: string }
}

interface Bench {
  seconds: number
  cpuSeconds: number
}

interface Memory {
  rssBytes: number
  heapBytes: number
}

/** Messages or bytes per second over a connection without an upgrade, to a plain socket */
export function measureSends (size: number, unit: 'messages' | 'bytes'): Measure<Speed> {
  return withWitness(async ({ peer, witness, to, expectSources }) => warmedUp(async ms => {
    const { cpu, result: { messages, seconds } } = await withCpu([peer, witness], async () => {
      const messages = await peer.ask('send', size, ms, to)
      const seconds = await witness.received(messages * size)
      expectSources(await witness.accepted(1), 1)

      return { messages, seconds }
    })

    return { perSecond: messages * (unit === 'bytes' ? size : 1) / seconds, cpuSeconds: cpu / messages }
  }))
}

/** Messages or bytes per second over one stream, in one direction */
export function measureStream (size: number, unit: 'messages' | 'bytes'): Measure<Speed> {
  return withTarget(async ({ peer, target, to }) => warmedUp(async ms => {
    const { cpu, result: { messages, received, seconds } } = await withCpu([peer, target], async () => peer.ask('stream', size, ms, to.port, to.id))
    assert.equal(received, messages * size, 'bytes that arrived')

    return { perSecond: messages * (unit === 'bytes' ? size : 1) / seconds, cpuSeconds: cpu / messages }
  }))
}

/** Requests with a response per second, one at a time on each stream */
export function measureRoundTrips (streams: number): Measure<Speed> {
  return withTarget(async ({ peer, target, to }) => warmedUp(async ms => {
    const { cpu, result: { responses, seconds } } = await withCpu([peer, target], async () => peer.ask('request', streams, ms, to.port, to.id))

    return { perSecond: responses / seconds, cpuSeconds: cpu / responses }
  }))
}

export const measureDials = withWitness(async (raw): Promise<Speed> => {
  await warmUpDials(raw)

  return speedOf(DIALS, await withCpu([raw.peer, raw.witness], async () => repeatFor(DIAL_DURATION, async () => dialAndClose(raw))))
})

/**
 * The CPU time of the process that dials, for a dial while 0 to 16,000 other connections are
 * open
 */
export const measureLive = withWitness(async (raw): Promise<Figures> => {
  const figures: Figures = {}
  await warmUpDials(raw)

  for (let live = 0; live <= LIVE; live += LIVE_STEP) {
    let seconds = 0

    for (let i = 0; i < LIVE_BATCHES; i++) {
      seconds += (await dialAndClose(raw, live)).cpuSeconds
    }

    figures[`live-${live}`] = seconds / LIVE_BATCHES / DIALS

    if (live < LIVE) {
      await dial(raw, live, LIVE_STEP)
    }
  }

  return figures
})

/**
 * The memory that each connection without an upgrade adds to a process. One half was dialed,
 * the other half accepted
 */
export const measureMemory = withWitness(async (raw): Promise<Figures> => {
  const { peer, port, witness } = raw
  // compiled code is not part of a connection's memory
  await dialAndClose(raw, 0, IDLE)

  const before = await peer.ask('memory')
  await dial(raw, 0, IDLE)

  for (let accepted = 0; accepted < IDLE; accepted += ACCEPTS) {
    await witness.connect(port, ACCEPTS)
    await peer.ask('accept', ACCEPTS)
  }

  const after = await peer.ask('memory')
  await witness.open(2 * IDLE)

  return memoryOf('', before, after, 2 * IDLE)
})

/**
 * Connections per second that the listener accepts, without an upgrade. The process is stopped
 * until they are queued, so that only the listener's work is measured
 */
export const measureAccepts = withWitness(async (raw): Promise<Speed> => {
  return warmedUp(async ms => {
    const { cpu, result } = await withCpu([raw.peer, raw.witness], async () => repeatFor(ms, async () => accept(raw)))

    return { perSecond: 1 / median(result), cpuSeconds: cpu / ACCEPTS / result.length }
  })
})

/** @returns how many seconds each of the connections took */
async function accept ({ peer, port, witness }: Raw): Promise<number> {
  const pid = Number(peer.pid)
  process.kill(pid, 'SIGSTOP')
  await witness.connect(port, ACCEPTS).finally(() => { process.kill(pid, 'SIGCONT') })

  const { accepted, seconds } = await peer.ask('accept', ACCEPTS)
  assert.equal(accepted, ACCEPTS, 'accepted connections')
  witness.disconnect()
  await witness.open(0)

  return seconds / (ACCEPTS - 1)
}

/** Connections with noise and yamux */
export const measureConnections = withTarget(async ({ peer, port, target, to, expectSources }): Promise<Figures> => {
  let connections = 0

  const connect = async (count: number): Promise<Bench> => {
    const bench = await peer.ask('dial', count, to.port, to.id)
    connections += count
    await until(async () => (await target.ask('upgradedFrom')).length >= connections)
    expectSources(await target.ask('upgradedFrom'), connections)

    return bench
  }

  const connectAndClose = async (): Promise<Bench> => {
    const bench = await connect(CONNECTIONS)
    await peer.ask('close', CONNECTIONS)
    await until(async () => await target.ask('open') === 0)

    return bench
  }

  while (connections < WARM_UP.connections) {
    await connectAndClose()
  }

  const speed = speedOf(CONNECTIONS, await withCpu([peer, target], async () => repeatFor(DIAL_DURATION, connectAndClose)))

  const before = await peer.ask('memory')
  await connect(UPGRADED)
  await delay(SETTLED)
  const after = await peer.ask('memory')
  assert.equal(await target.ask('open'), UPGRADED, 'connections that are still open')

  return { ...figuresOf('connections', speed), ...memoryOf('connections-', before, after, UPGRADED) }
})

export function figuresOf (name: string, { perSecond, cpuSeconds }: Speed): Figures {
  return { [name]: perSecond, [`${name}-cpu`]: cpuSeconds }
}

/** Dials while this many connections are open, and checks that the witness saw the dials */
async function dial ({ peer, witness, to, expectSources }: Raw, live: number, count: number = DIALS): Promise<Bench> {
  const bench = await peer.ask('dial', count, to)
  expectSources(await witness.accepted(count), count)
  await witness.open(live + count)

  return bench
}

async function dialAndClose (raw: Raw, live: number = 0, count: number = DIALS): Promise<Bench> {
  const bench = await dial(raw, live, count)
  await raw.peer.ask('close', count)
  await raw.witness.open(live)

  return bench
}

async function warmUpDials (raw: Raw): Promise<void> {
  for (let dials = 0; dials < WARM_UP.dials; dials += DIALS) {
    await dialAndClose(raw)
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

function memoryOf (prefix: string, before: Memory, after: Memory, connections: number): Figures {
  return {
    [`${prefix}rss`]: (after.rssBytes - before.rssBytes) / connections,
    [`${prefix}heap`]: (after.heapBytes - before.heapBytes) / connections
  }
}

/** @returns also the CPU time that both ends have used for the task, in seconds */
async function withCpu <T> (ends: Array<{ pid?: number }>, task: () => Promise<T>): Promise<{ cpu: number, result: T }> {
  const pids = ends.map(({ pid }) => Number(pid))
  const before = cpuSeconds(pids)
  const result = await task()

  return { cpu: cpuSeconds(pids) - before, result }
}

async function warmedUp <T> (measure: (ms: number) => Promise<T>): Promise<T> {
  await measure(WARM_UP.ms)

  return measure(DURATION)
}

/** Repeats `task` for this many ms */
async function repeatFor <T> (ms: number, task: () => Promise<T>): Promise<T[]> {
  const end = performance.now() + ms
  const results: T[] = []

  do {
    results.push(await task())
  } while (performance.now() < end)

  return results
}

function withWitness <T> (measure: (raw: Raw) => Promise<T>): Measure<T> {
  return async contestant => {
    const witness = new Witness()
    const to = await witness.listen()

    return withPeer(contestant, async measured => measure({ ...measured, witness, to })).finally(() => { witness.stop() })
  }
}

function withTarget <T> (measure: (upgraded: Upgraded) => Promise<T>): Measure<T> {
  return async contestant => withPeer(contestant, async measured => {
    const target = start(contestant, 'serve')

    return target.ask('serve').then(async to => measure({ ...measured, target, to })).finally(async () => target.stop())
  })
}

async function withPeer <T> (contestant: Contestant, use: (measured: Measured) => Promise<T>): Promise<T> {
  const peer = start(contestant)
  const expectSources: Measured['expectSources'] = (sources, count) => {
    assert.equal(sources.length, count, 'connections that arrived')
    assert.equal(sources.filter(source => source === port).length, contestant === 'ours' ? count : 0, 'connections from the listening port')
  }
  const port = await peer.ask('listen')

  return use({ peer, port, expectSources }).finally(async () => peer.stop())
}

function start (contestant: Contestant, ...args: string[]): Script<BenchPeer> {
  return startScript(new URL('peer.ts', import.meta.url), [contestant, ...args], { execArgv: ['--expose-gc'] })
}
