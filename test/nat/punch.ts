import { setTimeout as delay } from 'node:timers/promises'
import type { PunchingPeer, StackName } from './punching-peer.ts'
import type { NatMapping } from '../../src/index.ts'
import type { Script } from '../kit/processes.ts'
import type { Namespace } from '../lab/namespace.ts'

/**
 * How much is echoed over the direct connection
 */
const ECHO_LENGTH = 60_000

/**
 * How long to wait until nobody has anything to say to the relay, in ms
 */
const QUIET_TIMEOUT = 5_000

/**
 * Who is in the lab
 */
export interface Cast {
  /**
   * How much the relay's machine has received and sent over TCP. With it, nothing
   * of what is echoed over the direct connection may come by
   */
  relayBytes?(): Promise<number>

  /**
   * The two peers: `a` dials `b` over the relay
   */
  a: Role
  b: Role
}

export interface Role {
  machine: Namespace

  /**
   * Multiaddrs
   */
  listen: string[]

  /**
   * The relay's multiaddr, and those of others that tell it at which address they
   * see it
   */
  relay: string
  observers: string[]

  /**
   * A multiaddr that it announces, although it may not be dialable
   */
  announced?: string
}

export interface Punch {
  outcome: 'direct' | 'relayed' | 'lost'

  /**
   * How the NATs of A and B map them
   */
  mappings: NatMapping[][]

  /**
   * From the relayed connection to the direct one, or until the attempts were over,
   * in ms
   */
  time: number

  /**
   * How many of the attempts failed, and what may be the reason
   */
  failedAttempts: number
  remarks: string[]

  /**
   * In ms
   */
  relayedRoundTrip?: number
  directRoundTrip?: number

  /**
   * What should not be so
   */
  failures: string[]
}

/**
 * A dials B over the relay, and both punch. They are new each time, so nobody
 * knows them from before
 */
export async function playPunch ({ relayBytes, a, b }: Cast, stack: StackName): Promise<Punch> {
  const script = new URL('./punching-peer.ts', import.meta.url)
  const peerA = a.machine.start<PunchingPeer>(script, stack, a.announced ?? '', ...a.listen)
  const peerB = b.machine.start<PunchingPeer>(script, stack, b.announced ?? '', ...b.listen, `${b.relay}/p2p-circuit`)

  try {
    const mappings = await Promise.all([peerA.ask('askObservers', a.observers), peerB.ask('askObservers', b.observers)])
    const id = (await peerB.ask('relayedAddress')).split('/').at(-1)
    const relayedAt = await peerA.ask('dialRelayed', `${a.relay}/p2p-circuit/p2p/${id}`)
    const [relayedRoundTrip, outcome] = await Promise.all([peerA.ask('relayedRoundTrip'), peerB.ask('outcome')])
    const attempts = await peerB.ask('failedAttempts')
    const common = { outcome, mappings, relayedRoundTrip, failedAttempts: attempts.length }

    if (outcome !== 'direct') {
      return {
        ...common,
        time: Date.now() - relayedAt,
        remarks: [`A has ${await peerA.ask('candidates')} candidates, B ${await peerB.ask('candidates')}`, ...attempts],
        failures: outcome === 'lost' ? ['B has lost all connections to A'] : await whatIsWrong(peerA, peerB, { direct: 0, relayed: 1 })
      }
    }

    const directAt = await Promise.all([peerA.ask('directSince'), peerB.ask('directSince')])
    const failures = await whatIsWrong(peerA, peerB, { direct: 1, relayed: 0 })
    const directRoundTrip = await peerA.ask('directRoundTrip')
    const bytes = relayBytes ?? (async () => 0)
    const before = await whenQuiet(bytes, 4 * directRoundTrip)
    await peerA.ask('echo', ECHO_LENGTH)
    await peerB.ask('echo', ECHO_LENGTH)
    const during = await bytes() - before

    if (during !== 0) {
      failures.push(`${during} bytes came to or from the relay while there was a direct connection`)
    }

    return { ...common, time: Math.max(...directAt) - relayedAt, directRoundTrip, remarks: attempts, failures }
  } finally {
    await Promise.all([peerA.stop(), peerB.stop()])
  }
}

async function whatIsWrong (peerA: Script<PunchingPeer>, peerB: Script<PunchingPeer>, expected: { direct: number, relayed: number }): Promise<string[]> {
  const connections = await Promise.all([peerA.ask('connections'), peerB.ask('connections')])

  return connections.flatMap(({ direct, relayed }, i) => {
    return direct === expected.direct && relayed === expected.relayed ? [] : [`${'AB'[i]} has ${direct} direct and ${relayed} relayed connections`]
  })
}

/**
 * Waits until a counter stands still for so long, in ms
 *
 * @returns its value
 */
async function whenQuiet (count: () => Promise<number>, time: number): Promise<number> {
  const end = Date.now() + QUIET_TIMEOUT
  let last = await count()

  while (Date.now() < end) {
    await delay(time)
    const now = await count()

    if (now === last) {
      break
    }

    last = now
  }

  return last
}
