/** The process under observation in the parts `cycles` and `live`: dials from its one listening port */

import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { multiaddr } from '@multiformats/multiaddr'
import { pEvent } from 'p-event'
import pMap from 'p-map'
import { toDuplex } from '../../src/index.ts'
import { portOf } from '../kit/addresses.ts'
import { exchange } from '../kit/echo.ts'
import { serve } from '../kit/serve.ts'
import { createTransport, ruleOrWhy } from '../kit/transport.ts'
import { within } from '../kit/wait.ts'
import { CLOSES_AFTER, loopback, RESETS_BEFORE } from './peer.ts'
import { count, leftOver, startWatching, usedMemory } from './resources.ts'
import type { Counts } from './resources.ts'
import type { RawConnection, ReuseportTcpDialEvents } from '../../src/index.ts'
import type { StreamCloseEvent } from '@libp2p/interface'

export type Dialer = typeof commands

/** The ports of peers, by what they do */
export interface Ports {
  echoes: number
  closes: number
  resets: number
}

interface Cycle {
  ports: Ports
  payload: Uint8Array

  /** After how many bytes it is aborted */
  cutAt: number

  /** Which of the moments to abort at, while connecting */
  moment: number
  connect(port: number, signal?: AbortSignal): Promise<RawConnection>
}

/** How many cycles, dials, echoes or closes run at a time, and how long each may take, in ms */
const CONCURRENCY = 50
const LIMIT = 10_000

const HOSTS = 250
const MAX_SIZE = 200_000
const PAYLOADS = Buffer.from(Uint8Array.from({ length: 1_000_000 + MAX_SIZE }, (_, i) => (i * 7 + (i >> 8) * 31) & 0xff))
const CHUNK = 65_536

/** When a dial is aborted */
const MOMENTS: Array<(abort: () => void) => unknown> = [
  abort => { abort() },
  abort => { queueMicrotask(abort) },
  abort => { process.nextTick(abort) },
  abort => setImmediate(abort),
  ...[1, 2, 3, 5, 8].map(ms => (abort: () => void) => setTimeout(abort, ms))
]

/** How a cycle is meant to end, and how it does */
const FATES: Record<string, (cycle: Cycle) => Promise<string | undefined>> = {
  async 'closed here' ({ ports, payload, connect }) {
    const connection = await connect(ports.echoes)
    await exchange(connection, payload)
    await connection.close()
    assert.equal(connection.status, 'closed')

    return undefined
  },
  async 'closed by the peer' ({ ports, connect }) {
    const connection = await connect(ports.closes)
    const closed = closeOf(connection)
    await exchange(connection, PAYLOADS.subarray(0, CLOSES_AFTER))
    assert.equal(await closed, undefined)

    return undefined
  },
  async 'half-closed here' ({ ports, payload, connect }) {
    const connection = await connect(ports.echoes)
    const { source, sink } = toDuplex(connection)
    const received: Uint8Array[] = []
    await Promise.all([sink(inChunks(payload)), (async () => {
      for await (const data of source) {
        received.push(data.subarray())
      }
    })()])
    assert.equal(Buffer.compare(Buffer.concat(received), payload), 0, 'the echo is not what was sent')
    assert.equal(connection.status, 'closed')

    return undefined
  },
  async 'reset by the peer' ({ ports, connect }) {
    const connection = await connect(ports.resets)
    const closed = closeOf(connection)
    connection.send(PAYLOADS.subarray(0, RESETS_BEFORE))
    const error: any = await closed
    // EPIPE: the reset came while this end was writing
    assert.match(`${error?.code}`, /^(ECONNRESET|EPIPE)$/, error)

    return undefined
  },
  async 'aborted while echoing' ({ ports, payload, cutAt, connect }) {
    const reason = new Error('This echo is to be aborted')
    const connection = await connect(ports.echoes)
    const closed = closeOf(connection)
    let received = 0
    const abortAtCut = (): void => {
      if (received >= cutAt) {
        connection.abort(reason)
      }
    }
    connection.addEventListener('message', ({ data }) => {
      received += data.byteLength
      abortAtCut()
    })
    connection.send(payload)
    abortAtCut()
    assert.equal(await closed, reason)

    // what arrives after the abort would be in the next turns
    const before = received
    await delay(5)
    assert.equal(received, before, 'bytes that arrived after the abort')

    return undefined
  },
  async 'aborted while connecting' ({ ports, moment, connect }) {
    const controller = new AbortController()
    const connecting = connect(ports.echoes, controller.signal)
    const aborted = new Promise<void>(resolve => MOMENTS[moment](() => {
      controller.abort()
      resolve()
    }))

    const result = await connecting.then(connection => {
      connection.abort(new Error('The abort came too late'))

      return 'aborted once connected'
    }, err => {
      assert.equal(err.name, 'AbortError', err)

      return undefined
    })
    await aborted
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0, 'listeners of the signal')

    return result
  }
}

/** In 30 cycles. A third is aborted, a tenth reset */
const PLAN = Object.entries({ 'closed here': 6, 'aborted while connecting': 5, 'closed by the peer': 6, 'reset by the peer': 3, 'half-closed here': 5, 'aborted while echoing': 5 })
  .flatMap(([fate, times]) => Array.from({ length: times }, () => fate))

/** Used for all dials that are not aborted: nothing may be left on it */
const lasting = new AbortController()

const { transport, connect, listen } = createTransport()
let connections: RawConnection[] = []
let listening = 0

const commands = {
  async listen (): Promise<number> {
    listening = (await listen('/ip4/127.0.0.1/tcp/0')).port
    startWatching()

    return listening
  },

  /** Runs the cycles from `first` to `end`, and fails if one does not end as it has to */
  async cycles (ports: Ports, first: number, end: number): Promise<{ ends: Counts, sources: Counts }> {
    const sources: string[] = []
    const ends = await pMap(Array.from({ length: end - first }, (_, i) => first + i), async n => {
      const fate = PLAN[n % PLAN.length]
      const size = 1 + n * 7_919 % MAX_SIZE
      const cycle: Cycle = {
        ports,
        payload: PAYLOADS.subarray(n * 97, n * 97 + size),
        cutAt: n * 104_729 % size,
        moment: Math.floor(n / PLAN.length) % MOMENTS.length,
        connect: async (port, signal = lasting.signal) => dialOne(n, port, signal, source => { sources.push(source) })
      }

      return within(LIMIT, FATES[fate](cycle), 'it').then(end => end ?? fate, err => {
        throw new Error(`Cycle ${n}, to be ${fate}: ${err.stack}`, { cause: err })
      })
    }, { concurrency: CONCURRENCY })

    return { ends: count(ends), sources: count(sources) }
  },

  /** Opens so many connections, with an echo on each. Returns how many came from where */
  async dialAll (port: number, all: number): Promise<Counts> {
    const sources: string[] = []
    connections = await pMap(Array.from({ length: all }).keys(), async n => {
      const { connection, source } = await within(LIMIT, connect(loopback(n, port)), `dial ${n}`)
      sources.push(ruleOrWhy(source))
      await within(LIMIT, exchange(connection, PAYLOADS.subarray(n, n + 1_000)), `echo ${n}`)

      return connection
    }, { concurrency: CONCURRENCY })

    return count(sources)
  },
  async closeAll (): Promise<Counts> {
    await pMap(connections, async connection => within(LIMIT, connection.close(), `closing ${connection.remoteAddr}`), { concurrency: CONCURRENCY })

    return count(connections.map(({ status }) => status))
  },
  leftOver,
  usedMemory,
  abortListeners: () => getEventListeners(lasting.signal, 'abort').length
}

serve(commands)

async function dialOne (n: number, port: number, signal: AbortSignal, onSource: (source: string) => void): Promise<RawConnection> {
  let isReused = false
  const connection = await transport.connect(multiaddr(loopback(n % HOSTS, port)), {
    signal,
    onProgress: (event: ReuseportTcpDialEvents) => {
      if (event.type === 'tcp:source-port') {
        isReused = event.detail.kind === 'reused'
        onSource(ruleOrWhy(event.detail))
      }
    }
  })
  assert.equal(portOf(connection.localAddr) === listening, isReused, 'it comes from another port than the event said')

  return connection
}

async function closeOf (connection: RawConnection): Promise<Error | undefined> {
  return (await pEvent<'close', StreamCloseEvent>(connection, 'close', { rejectionEvents: [] })).error
}

function * inChunks (payload: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < payload.byteLength; start += CHUNK) {
    yield payload.subarray(start, start + CHUNK)
  }
}
