/**
 * What connections from the listening port cost, for comparison with others. They go
 * to 127.0.A.B with another A.B each, so the other end must listen on 0.0.0.0. Nodes
 * and transports are made for each benchmark: the peer's own never hear of it
 */

import { setTimeout as delay } from 'node:timers/promises'
import { defaultLogger } from '@libp2p/logger'
import { noise } from '@libp2p/noise'
import { tls } from '@libp2p/tls'
import { getNetConfig } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { reuseportTcp } from '../../../src/index.ts'
import { rawUpgrader } from '../../fixtures/transport.ts'
import { inParallel } from '../../stress/in-parallel.ts'
import type { SourcePort } from '../../../src/index.ts'
import type { Connection, Libp2p } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { ProgressEvent } from 'progress-events'

const WILDCARD = multiaddr('/ip4/0.0.0.0/tcp/0')

/**
 * There are no more addresses of that form
 */
const MAX_COUNT = 65_000

/**
 * How many of the connections to be held are dialed at a time
 */
const HOLD_PARALLEL = 50

/**
 * How long it takes until nothing is under way any more on connections that are held,
 * in ms
 */
const HOLD_SETTLED = 3_000

/**
 * Why connections are aborted
 */
const OPENED = new Error('It was only to be opened')

type Fields = Record<string, unknown>

/**
 * Dials with nothing but the TCP transport. Each connection is aborted (RST) as soon as
 * it is made
 */
export async function benchDial (count: number, parallel: number, port: number): Promise<Fields> {
  const transport = reuseportTcp()({ logger: defaultLogger() })
  const listener = transport.createListener({ upgrader: rawUpgrader() })
  await listener.listen(WILDCARD)
  const listening = portOf(listener.getAddrs()[0])

  try {
    return await time(count, parallel, async n => {
      const connection = await transport.connect(loopback(n, port))
      const isReused = portOf(connection.localAddr) === listening
      connection.abort(OPENED)

      return isReused
    })
  } finally {
    await listener.close()
  }
}

/**
 * Dials with security and muxer. Each connection is aborted (RST) as soon as it is
 * upgraded
 */
export async function benchConnect (count: number, parallel: number, port: number, peer: string, security: string): Promise<Fields> {
  const node = await startDialer(security)

  try {
    return await time(count, parallel, async n => {
      const { connection, isReused } = await connect(node, loopback(n, port), peer)
      connection.abort(OPENED)

      return isReused
    })
  } finally {
    await node.stop()
  }
}

/**
 * Dials with security and muxer, and keeps the connections until the process ends
 *
 * @throws {Error} if the process was started without `--expose-gc`
 */
export async function benchHold (count: number, port: number, peer: string, security: string): Promise<Fields> {
  const node = await startDialer(security)
  const rssBytesBefore = await residentBytes()
  const held = await inParallel(HOLD_PARALLEL, numbersTo(count), async n => connect(node, loopback(n, port), peer))
  await delay(HOLD_SETTLED)
  const rssBytesAfter = await residentBytes()

  return {
    connections: held.filter(({ connection }) => connection.status === 'open').length,
    fromListeningPort: held.filter(({ isReused }) => isReused).length,
    rssBytesBefore,
    rssBytesAfter
  }
}

/**
 * Times a benchmark. `dial` opens and closes a connection, and says whether it came
 * from the listening port
 */
async function time (count: number, parallel: number, dial: (n: number) => Promise<boolean>): Promise<Fields> {
  const cpuBefore = process.cpuUsage()
  const start = performance.now()
  const reused = await inParallel(parallel, numbersTo(count), dial)
  const seconds = (performance.now() - start) / 1000
  const { user, system } = process.cpuUsage(cpuBefore)

  return {
    dials: reused.length,
    seconds,
    cpuSeconds: (user + system) / 1e6,
    fromListeningPort: reused.filter(isReused => isReused).length
  }
}

type Dialer = Libp2p<{ dialing: Dialing }>

/**
 * Of the transport manager
 */
interface Dialing {
  dial(ma: Multiaddr, options: { signal: AbortSignal, onProgress(event: ProgressEvent): void }): Promise<Connection>
}

/**
 * A node without services, so that a connection is upgraded and that is all
 */
async function startDialer (security: string): Promise<Dialer> {
  return createLibp2p({
    addresses: { listen: [`${WILDCARD}`] },
    transports: [reuseportTcp()],
    connectionEncrypters: [security === 'tls' ? tls() : noise()],
    streamMuxers: [yamux()],
    connectionManager: { maxConnections: Infinity },
    connectionMonitor: { enabled: false },
    services: {
      // only services get at the transport manager. As a service itself it would be
      // started twice
      dialing: ({ transportManager }): Dialing => ({ dial: async (ma, options) => transportManager.dial(ma, options) })
    }
  })
}

/**
 * Around the dial queue, which would return the connection that it has already
 */
async function connect (node: Dialer, destination: Multiaddr, peer: string): Promise<{ connection: Connection, isReused: boolean }> {
  let source: Multiaddr | undefined

  const connection = await node.services.dialing.dial(destination.encapsulate(`/p2p/${peer}`), {
    signal: new AbortController().signal,
    onProgress: event => {
      if (event.type === 'tcp:source-port') {
        source = (event.detail as SourcePort).localAddr
      }
    }
  })

  return { connection, isReused: portOf(source) === portOf(node.getMultiaddrs()[0]) }
}

/**
 * In bytes, after garbage collection. An ordinary one leaves the process what it took
 * while many connections were opened at once
 */
async function residentBytes (): Promise<number> {
  if (globalThis.gc == null) {
    throw new Error('It needs --expose-gc')
  }

  // what a finalizer releases is collected by the next one
  for (let i = 0; i < 5; i++) {
    globalThis.gc({ type: 'major', execution: 'sync', flavor: 'last-resort' })
    await delay(20)
  }

  return process.memoryUsage.rss()
}

function loopback (n: number, port: number): Multiaddr {
  return multiaddr(`/ip4/127.0.${Math.floor(n / 254)}.${n % 254 + 1}/tcp/${port}`)
}

function numbersTo (count: number): Iterable<number> {
  if (!Number.isInteger(count) || count > MAX_COUNT) {
    throw new Error(`There are only ${MAX_COUNT} addresses`)
  }

  return Array.from({ length: count }).keys()
}

function portOf (ma?: Multiaddr): number | undefined {
  return ma == null ? undefined : getNetConfig(ma).port
}
