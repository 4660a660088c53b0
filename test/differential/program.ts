/** What can be in a program: what the transport is given, what the net does, and the steps */

import fc from 'fast-check'
import { HOSTS, LISTEN_HOSTS, REFUSALS } from './nets.ts'
import type { Host, Net } from './nets.ts'
import type { Arbitrary } from 'fast-check'

/** One of the two ports of a program that listeners can have */
export type ListenPort = 0 | 1

/**
 * - `reads`: reads, and answers FIN with FIN
 * - `does not read`: until it is told to, or the program is over
 * - `echoes`: sends what it receives, then FIN for FIN
 * - `keeps its half open`: reads, and sends no FIN
 * - `says HTTP`: sends the 28 bytes of an HTTP error at once, and reads
 * - `ends`, `resets`: at once
 */
export type PeerKind = 'reads' | 'does not read' | 'echoes' | 'keeps its half open' | 'says HTTP' | 'ends' | 'resets'

/**
 * What becomes of a raw connection: it is used; the upgrade fails; fails when the peer has
 * sent something; waits for its signal
 */
export type UpgraderKind = 'raw' | 'fails' | 'fails late' | 'waits'

/** When the signal of a dial aborts. `later`: after 100 ms */
export type AbortTime = 'before' | 'in onProgress' | 'same tick' | 'later'

/**
 * Connections are counted in the order of the steps `dial` and `arrive`, listeners in that of `listen`.
 * `hears`: the peer listens on that address only
 */
export type Step =
  { do: 'listen', on: Host, port: ListenPort, background?: boolean } |
  { do: 'dial', to: Host, port: ListenPort | 'peer' | 'closed', peer?: PeerKind, hears?: '127.0.0.1', upgrader?: UpgraderKind, abort?: AbortTime, background?: boolean } |
  { do: 'arrive', at: Host, port: ListenPort, peer?: PeerKind } |
  { do: 'send', connection: number, bytes: number, as?: 'list' | 'reused buffer' } |
  { do: 'peer sends', connection: number, bytes: number } |
  { do: 'peer ends' | 'peer resets' | 'peer reads' | 'peer pauses', connection: number } |
  { do: 'pause' | 'resume' | 'abort', connection: number } |
  { do: 'close', connection: number, signal?: 'aborted' | 'aborts', background?: boolean } |
  { do: 'close listener', listener: number, background?: boolean } |
  { do: 'use up descriptors', left: number } |
  { do: 'wait', ms: number }

export interface Program {
  /** Options of the transport, which both understand */
  options?: {
    outboundSocketInactivityTimeout?: number
    inboundSocketInactivityTimeout?: number
    maxConnections?: number
    closeServerOnMaxConnections?: { closeAbove: number, listenBelow: number }
    dialOpts?: { allowHalfOpen?: boolean }
  }

  /** Of all listeners */
  upgrader?: UpgraderKind

  /** `--dns-result-order` of Node */
  dnsResultOrder?: 'ipv4first' | 'ipv6first'

  /** `--no-network-family-autoselection` of Node */
  noAutoSelectFamily?: boolean
  net?: Net
  steps: Step[]
}

const MAX_STEPS = 9

/** No size near what the kernel buffers: it depends on the moment if that is taken */
const bytes = fc.constantFrom(1, 1_000, 16_000, 300_000, 8_000_000)
const sometimes = fc.constantFrom(undefined, undefined, undefined, true)
const index = fc.nat({ max: 2 })
const port = fc.constantFrom<ListenPort>(0, 0, 0, 1)
const peer = fc.constantFrom<PeerKind>('reads', 'does not read', 'echoes', 'keeps its half open', 'says HTTP', 'ends', 'resets')
const upgrader = fc.constantFrom<UpgraderKind | undefined>(undefined, undefined, undefined, undefined, undefined, 'fails', 'fails late', 'waits')

const listen = fc.record({ do: fc.constant('listen'), on: fc.constantFrom(...LISTEN_HOSTS), port, background: sometimes })
const dial = fc.record({
  do: fc.constant('dial'),
  to: fc.constantFrom(...HOSTS),
  port: fc.constantFrom<ListenPort | 'peer' | 'closed'>('peer', 'peer', 'peer', 'peer', 'closed', 0, 0, 1),
  peer,
  hears: fc.constantFrom(undefined, undefined, '127.0.0.1'),
  upgrader,
  // not in onProgress: that differs
  abort: fc.constantFrom(undefined, undefined, undefined, undefined, undefined, 'before', 'same tick', 'later'),
  background: sometimes
})
const arrive = fc.record({ do: fc.constant('arrive'), at: fc.constantFrom(...LISTEN_HOSTS), port, peer })
const wait = fc.record({ do: fc.constant('wait'), ms: fc.constantFrom(900, 1_600) })

/** What can be done with a connection */
const use = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('send'), connection: index, bytes, as: fc.constantFrom(undefined, undefined, 'list') }) },
  // larger ones are not copied
  { weight: 1, arbitrary: fc.record({ do: fc.constant('send'), connection: index, bytes: fc.constantFrom(1, 1_000), as: fc.constant('reused buffer') }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('peer sends'), connection: index, bytes }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('peer ends', 'peer resets', 'peer reads', 'peer pauses', 'pause', 'resume', 'abort'), connection: index }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('close'), connection: index, signal: fc.constantFrom(undefined, undefined, undefined, undefined, undefined, 'aborted', 'aborts'), background: fc.constantFrom(true, undefined) }) },
  { weight: 1, arbitrary: wait }
)

const step = fc.oneof(
  { weight: 3, arbitrary: listen },
  { weight: 5, arbitrary: dial },
  { weight: 3, arbitrary: arrive },
  { weight: 6, arbitrary: use },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('close listener'), listener: index, background: sometimes }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('use up descriptors'), left: fc.nat({ max: 3 }) }) },
  { weight: 1, arbitrary: wait }
) as Arbitrary<Step>

/** Nothing to listen for is rarely of interest */
const firstListen = fc.option(fc.record({ do: fc.constant('listen'), on: fc.constantFrom(...LISTEN_HOSTS), port: fc.constant(0) }), { freq: 6 })

/** Whatever comes */
const mixed = fc.tuple(firstListen, fc.array(step, { minLength: 1, maxLength: MAX_STEPS - 1 })).map(([first, steps]) => [...first == null ? [] : [first], ...steps]) as Arbitrary<Step[]>

/** What becomes of one connection */
const connection = fc.tuple(
  fc.oneof(
    fc.record({ do: fc.constant('dial'), to: fc.constant('/ip4/127.0.0.1'), port: fc.constant('peer'), peer }),
    fc.record({ do: fc.constant('arrive'), at: fc.constant('/ip4/127.0.0.1'), port: fc.constant(0), peer })
  ),
  fc.array(use, { minLength: 1, maxLength: MAX_STEPS - 2 })
).map(([open, uses]) => [{ do: 'listen', on: '/ip4/0.0.0.0', port: 0 }, open, ...uses]) as Arbitrary<Step[]>

const rarely = <const T>(...values: T[]): Arbitrary<T | undefined> => fc.oneof({ weight: 9, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.constantFrom(...values) })

export const programs: Arbitrary<Program> = fc.record({
  options: fc.record({
    outboundSocketInactivityTimeout: rarely(500, 500, 500),
    inboundSocketInactivityTimeout: rarely(500),
    maxConnections: rarely(1),
    closeServerOnMaxConnections: rarely({ closeAbove: 1, listenBelow: 1 }, { closeAbove: 2, listenBelow: 1 })
  }),
  upgrader,
  dnsResultOrder: rarely('ipv4first', 'ipv6first'),
  noAutoSelectFamily: rarely(true),
  net: fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, {
    weight: 1,
    arbitrary: fc.oneof(
      fc.record({ what: fc.constant('from listeners'), at: fc.constantFrom('output', 'input'), does: fc.constantFrom(...REFUSALS) }),
      fc.record({ what: fc.constant('to peers'), at: fc.constant('output'), does: fc.constantFrom(...REFUSALS) })
    )
  }) as Arbitrary<Net | undefined>,
  steps: fc.oneof(mixed, connection)
}).map(({ steps, ...rest }) => withoutDescriptorRaces({
  ...rest,
  steps: steps.map(step => step.do === 'dial' && step.abort === 'later' && !isUnanswered(step.to, rest.net) ? { ...step, abort: undefined } : step)
}))

/** With few descriptors nothing else may be under way: what it frees decides on what succeeds */
function withoutDescriptorRaces (program: Program): Program {
  return program.steps.some(step => step.do === 'use up descriptors')
    ? { ...program, net: undefined, steps: program.steps.map(step => 'background' in step ? { ...step, background: undefined } : step) }
    : program
}

/** Is a dial under way for long? What becomes of it when the signal aborts afterwards differs */
function isUnanswered (to: Host, net?: Net): boolean {
  return to === '/dns4/silent.test' || to === '/dns4/slow.test' || (net?.what === 'to peers' && net.does === 'drop')
}
