import { setTimeout as delay } from 'node:timers/promises'
import type { Namespace } from './namespace.ts'
import type { PunchingPeer, StackName } from './punching-peer.ts'
import type { Relay } from './relay.ts'
import type { Script } from './script.ts'
import type { NatMapping } from '../../src/index.ts'

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
  relay: Script<Relay>

  /**
   * How much the relay's machine has received and sent over TCP
   */
  relayBytes(): Promise<number>

  /**
   * The machines of the two peers: `a` dials `b` over the relay
   */
  a: Namespace
  b: Namespace
}

export interface PunchOptions {
  stack: StackName
  family: 4 | 6

  /**
   * What both listen on
   */
  port: number

  /**
   * The IPv4 address that A announces, although it may not be dialable
   */
  announced?: string
}

export interface Punch {
  outcome: 'direct' | 'relayed'

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
export async function playPunch ({ relay, relayBytes, a, b }: Cast, { stack, family, port, announced }: PunchOptions): Promise<Punch> {
  const [relayAddress, ...observers] = (await relay.call('addresses')).filter(address => address.startsWith(`/ip${family}`))
  const listen = family === 4 ? `/ip4/0.0.0.0/tcp/${port}` : `/ip6/::/tcp/${port}`
  const script = new URL('./punching-peer.ts', import.meta.url)
  const [peerA, peerB] = await Promise.all([
    a.start<PunchingPeer>(script, stack, announced == null ? '' : `/ip4/${announced}/tcp/${port}`, listen),
    b.start<PunchingPeer>(script, stack, '', listen, `${relayAddress}/p2p-circuit`)
  ])

  try {
    const mappings = await Promise.all([peerA, peerB].map(async peer => peer.call('askObservers', observers)))
    const relayedAt = await peerA.call('dialRelayed', await peerB.call('relayedAddress'))
    const [relayedRoundTrip, outcome] = await Promise.all([peerA.call('relayedRoundTrip'), peerB.call('outcome')])

    if (outcome === 'relayed') {
      return { outcome, mappings, time: Date.now() - relayedAt, relayedRoundTrip, failures: await whatIsWrong(peerA, peerB, { direct: 0, relayed: 1 }) }
    }

    const directAt = await Promise.all([peerA.call('directSince'), peerB.call('directSince')])
    const failures = await whatIsWrong(peerA, peerB, { direct: 1, relayed: 0 })
    const directRoundTrip = await peerA.call('directRoundTrip')
    const before = await whenQuiet(relayBytes, 4 * directRoundTrip)
    await peerA.call('echo', ECHO_LENGTH)
    await peerB.call('echo', ECHO_LENGTH)
    const during = await relayBytes() - before

    if (during !== 0) {
      failures.push(`${during} bytes came to or from the relay while there was a direct connection`)
    }

    return { outcome, mappings, time: Math.max(...directAt) - relayedAt, relayedRoundTrip, directRoundTrip, failures }
  } finally {
    await Promise.all([peerA.stop(), peerB.stop()])
  }
}

async function whatIsWrong (peerA: Script<PunchingPeer>, peerB: Script<PunchingPeer>, expected: { direct: number, relayed: number }): Promise<string[]> {
  const connections = await Promise.all([peerA.call('connections'), peerB.call('connections')])

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
