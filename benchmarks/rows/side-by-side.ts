import { setTimeout as delay } from 'node:timers/promises'
import { portOf, startPeer } from '../../test/interop/peer.ts'
import { expectEqual } from '../expect.ts'
import type { Implementation } from '../../test/interop/implementations.ts'
import type { Peer, PeerEvent, PeerInit } from '../../test/interop/peer.ts'
import type { Lab } from '../lab.ts'
import type { PlainPeer } from '../processes/plain-peer.ts'
import type { Measurement } from '../row.ts'

/**
 * What the measurements of one of the implementations are
 */
export type MeasureImplementation = (implementation: Implementation, lab: Lab) => Promise<Measurement>

/**
 * See test/interop/README.md
 */
interface Bench extends PeerEvent {
  dials: number
  seconds: number
  cpuSeconds: number
  fromListeningPort: number
}

interface BenchHold extends PeerEvent {
  connections: number
  fromListeningPort: number
  rssBytesBefore: number
  rssBytesAfter: number
}

const PARALLEL = 50

const DIALS = 3_000
const WARM_UP_DIALS = 1_000

const CONNECTIONS = 1_000
const WARM_UP_CONNECTIONS = 300

/**
 * How long the other end may be busy with connections that are closed, in ms
 */
const SETTLED = 500

const THIS_MACHINE: PeerInit['machine'] = { commandLine: (command, ...args) => [command, args] }

/**
 * Whom all of them connect to
 */
const TARGET = 'go'

/**
 * Dials without an upgrade, from the listening port
 */
export const measureRawDials: MeasureImplementation = async (implementation, lab) => {
  const plainPeer = lab.start<PlainPeer>('plain-peer.ts')
  const port = await plainPeer.ask('listen')

  return withPeer(implementation, async peer => {
    const dial = async (count: number): Promise<Bench> => expectAllReused(await peer.ask('bench-dial', count, PARALLEL, port), count)

    await dial(WARM_UP_DIALS)
    expectEqual('accepted connections', (await plainPeer.ask('sources', WARM_UP_DIALS)).accepted, WARM_UP_DIALS)
    const bench = await dial(DIALS)

    const { accepted, ports } = await plainPeer.ask('sources', WARM_UP_DIALS + DIALS)
    expectEqual('accepted connections', accepted, WARM_UP_DIALS + DIALS)

    // each of the two benchmarks has a listener of its own
    if (ports > 2) {
      throw new Error(`The connections came from ${ports} ports`)
    }

    return { figures: ratesOf('dial', bench) }
  })
}

/**
 * Connections with noise and yamux, from the listening port
 */
export const measureConnections: MeasureImplementation = async implementation => {
  return withTarget(implementation, async (peer, ...target) => {
    const connect = async (count: number): Promise<Bench> => expectAllReused(await peer.ask('bench-connect', count, PARALLEL, ...target), count)

    await connect(WARM_UP_CONNECTIONS)
    await delay(SETTLED)

    return { figures: ratesOf('connect', await connect(CONNECTIONS)) }
  })
}

/**
 * What each of 1,000 connections with noise and yamux adds to the memory of the
 * process that dialed them
 */
export const measureHeld: MeasureImplementation = async implementation => {
  return withTarget(implementation, async (peer, ...target) => {
    await peer.ask('bench-connect', WARM_UP_CONNECTIONS, PARALLEL, ...target)
    await delay(SETTLED)
    const { connections, fromListeningPort, rssBytesBefore, rssBytesAfter } = await peer.ask<BenchHold>('bench-hold', CONNECTIONS, ...target)
    expectEqual('connections that are still open', connections, CONNECTIONS)
    expectEqual('connections from the listening port', fromListeningPort, CONNECTIONS)

    return { figures: { memory: (rssBytesAfter - rssBytesBefore) / CONNECTIONS } }
  })
}

async function withTarget <R> (implementation: Implementation, measure: (peer: Peer, port: number, id: string) => Promise<R>): Promise<R> {
  return withPeer(TARGET, async target => withPeer(implementation, async peer => measure(peer, portOf(target.endpoint), target.id)))
}

async function withPeer <R> (implementation: Implementation, measure: (peer: Peer) => Promise<R>): Promise<R> {
  const peer = await startPeer({ implementation, machine: THIS_MACHINE, host: '127.0.0.1', bind: '0.0.0.0', port: 0 })

  try {
    return await measure(peer)
  } finally {
    await peer.stop()
  }
}

function expectAllReused (bench: Bench, count: number): Bench {
  expectEqual('connections', bench.dials, count)
  expectEqual('connections from the listening port', bench.fromListeningPort, count)

  return bench
}

/**
 * The CPU time is in µs
 */
function ratesOf (name: string, { dials, seconds, cpuSeconds }: Bench): Measurement['figures'] {
  return { [`${name}-rate`]: dials / seconds, [`${name}-cpu`]: cpuSeconds / dials * 1e6 }
}
