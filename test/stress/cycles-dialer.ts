/**
 * The process under observation in the part `cycles`: dials from its one
 * listening port
 */

import { getEventListeners } from 'node:events'
import { multiaddr } from '@multiformats/multiaddr'
import pMap from 'p-map'
import { toDuplex } from '../../src/index.ts'
import { tell } from '../kit/serve.ts'
import { createTransport, ruleOrWhy } from '../kit/transport.ts'
import { within } from '../kit/wait.ts'
import { count } from './counting.ts'
import { MAX_SIZE, planCycle } from './cycle-plan.ts'
import { orderFor, startEcho } from './echo.ts'
import { toMultiaddr } from './loopback.ts'
import { bytes } from './random.ts'
import { leftOver, startWatching, usedMemory } from './resources.ts'
import { serve } from './troubles.ts'
import type { Counts } from './counting.ts'
import type { CyclePlan } from './cycle-plan.ts'
import type { PeerAddress } from './loopback.ts'
import type { RawConnection, ReuseportTcpDialEvents } from '../../src/index.ts'

export type CyclesDialer = typeof commands

/**
 * How many cycles run at a time
 */
const CONCURRENCY = 50

/**
 * How long a cycle may take, in ms
 */
const CYCLE_LIMIT = 10_000

const CHUNK = 65_536
const PAYLOADS = 1_000_000

/**
 * When a dial is aborted
 */
const MOMENTS: Array<(abort: () => void) => unknown> = [
  abort => { abort() },
  abort => { queueMicrotask(abort) },
  abort => { process.nextTick(abort) },
  abort => setImmediate(abort),
  ...[1, 2, 3, 5, 8].map(ms => (abort: () => void) => setTimeout(abort, ms))
]

/**
 * Used for all dials that are not aborted: nothing may be left on it
 */
const lasting = new AbortController()

const { transport, listen } = createTransport()
let payloads: Uint8Array = new Uint8Array()

const commands = {
  async listen (): Promise<number> {
    const { port } = await listen('/ip4/127.0.0.1/tcp/0')

    return port
  },

  /**
   * Runs the cycles from `first` to, but without, `end`
   *
   * @returns how many ended in which way, and what was off
   */
  async run (seed: number, peers: PeerAddress[], first: number, end: number): Promise<{ results: Counts, sources: Counts, off: string[] }> {
    if (payloads.byteLength === 0) {
      payloads = bytes(seed, PAYLOADS + MAX_SIZE)
      startWatching()
    }

    const off: string[] = []
    const sources: string[] = []
    const indices = Array.from({ length: end - first }, (_, i) => first + i)

    const results = await pMap(indices, async index => {
      const plan = planCycle(seed, index, { peers: peers.length, offsets: PAYLOADS, moments: MOMENTS.length })

      if (index % 100 === 0) {
        tell('progress', `${index.toLocaleString('en')} cycles begun`)
      }

      try {
        return await within(CYCLE_LIMIT, runCycle(plan, peers[plan.peer], source => { sources.push(source) }), `cycle ${index}`)
      } catch (err: any) {
        off.push(`cycle ${index}, to be ${plan.fate}: ${err.stack}`)

        return 'OFF'
      }
    }, { concurrency: CONCURRENCY })

    return { results: count(results), sources: count(sources), off }
  },

  leftOver,
  abortListeners: () => getEventListeners(lasting.signal, 'abort').length,
  usedMemory
}

serve(commands)

async function runCycle (plan: CyclePlan, peer: PeerAddress, onSource: (source: string) => void): Promise<string> {
  const connect = async (signal: AbortSignal): Promise<RawConnection> => transport.connect(multiaddr(toMultiaddr(peer)), {
    signal,
    onProgress: (event: ReuseportTcpDialEvents) => {
      if (event.type === 'tcp:source-port') {
        onSource(ruleOrWhy(event.detail))
      }
    }
  })

  if (plan.fate === 'aborted while connecting') {
    return abortWhileConnecting(plan, connect)
  }

  const connection = await connect(lasting.signal)
  const payload = payloads.subarray(plan.offset, plan.offset + plan.size)

  switch (plan.fate) {
    case 'closed by us':
      await startEcho(connection, { payload }).complete
      await connection.close()
      assertEqual('status', connection.status, 'closed')
      break
    case 'closed by the peer': {
      const echo = startEcho(connection, { payload, close: true })
      await echo.complete
      assertEqual('error', await echo.closed, undefined)
      break
    }
    case 'half-closed by us':
      await echoThroughDuplex(connection, payload)
      assertEqual('status', connection.status, 'closed')
      break
    case 'reset by the peer': {
      const error: any = await startEcho(connection, { payload, resetAt: plan.cutAt }).closed
      // EPIPE: the reset came while we were writing
      assertEqual('code', error?.code === 'EPIPE' ? 'ECONNRESET' : error?.code ?? error, 'ECONNRESET')
      break
    }
    default:
      await abortWhileEchoing(connection, payload, plan.cutAt)
  }

  return plan.fate
}

async function abortWhileConnecting ({ moment }: CyclePlan, connect: (signal: AbortSignal) => Promise<RawConnection>): Promise<string> {
  const controller = new AbortController()
  const connecting = connect(controller.signal)
  let result = 'aborted while connecting'

  const aborted = new Promise<void>(resolve => {
    MOMENTS[moment](() => {
      controller.abort()
      resolve()
    })
  })

  try {
    const connection = await connecting
    connection.abort(new Error('The abort came too late'))
    result = 'aborted once connected'
  } catch (err: any) {
    assertEqual('error', err.name, 'AbortError')
  }

  await aborted
  assertEqual('abort listeners', getEventListeners(controller.signal, 'abort').length, 0)

  return result
}

async function abortWhileEchoing (connection: RawConnection, payload: Uint8Array, cutAt: number): Promise<void> {
  const reason = new Error('This echo is to be aborted')

  const echo = startEcho(connection, {
    payload,
    onReceived: received => {
      if (received >= cutAt) {
        connection.abort(reason)
      }
    }
  })

  assertEqual('error', await echo.closed, reason)

  // what arrives after the abort would be in the next turns
  const { received } = echo
  await new Promise(resolve => setTimeout(resolve, 5))
  assertEqual('bytes received after the abort', echo.received - received, 0)
}

async function echoThroughDuplex (connection: RawConnection, payload: Uint8Array): Promise<void> {
  const { source, sink } = toDuplex(connection)
  const received: Uint8Array[] = []

  await Promise.all([
    sink(inChunks(orderFor(connection, { size: payload.byteLength }), payload)),
    (async () => {
      for await (const data of source) {
        received.push(data.subarray())
      }
    })()
  ])

  assertEqual('difference of echo and payload', Buffer.compare(Buffer.concat(received), payload), 0)
}

function * inChunks (order: Uint8Array, payload: Uint8Array): Generator<Uint8Array> {
  yield order

  for (let start = 0; start < payload.byteLength; start += CHUNK) {
    yield payload.subarray(start, start + CHUNK)
  }
}

function assertEqual (what: string, actual: unknown, expected: unknown): void {
  if (actual !== expected) {
    throw new Error(`${what} is ${actual instanceof Error ? actual.stack : actual}, expected ${expected}`)
  }
}
