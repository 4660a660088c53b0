import { setTimeout as delay } from 'node:timers/promises'
import { isJs } from '../interop/implementations.ts'
import { until } from '../kit/wait.ts'
import { LATENCY } from './scene.ts'
import type { Outcome } from './nat-pairs.ts'
import type { Scene } from './scene.ts'
import type { Peer, PeerEvent } from '../interop/peer.ts'

/**
 * How long a direct connection is waited for, in ms, if nobody says that it will not come:
 * three attempts of five seconds. And how long that is waited for
 */
const TIMEOUT = 17_000
const END_TIMEOUT = 60_000

/** How long it may take until only the right connections are open, in ms */
const CLOSE_TIMEOUT = 10_000

/**
 * How long go-libp2p may take to notice what was observed, in ms. Until then it takes part
 * in no hole punch (`p2p/protocol/holepunch/svc.go`, `waitForPublicAddr`)
 */
const GO_NOTICES = 5_500

/**
 * How much is echoed over the direct connection, and how often the relay and the other peer are
 * dialed on a network that loses frames
 */
const ECHO_LENGTH = 60_000
const MAX_DIALS = 3

/**
 * For how long nothing must come to the relay until all is done there, in ms: four round trips.
 * And the same where frames are not under way as long as usual
 */
const QUIET = 4 * 2 * LATENCY
const OTHERWISE_QUIET = 2_400

export interface Round {
  outcome?: Outcome | 'lost'

  /** From the relayed connection to the direct one on both ends, in ms */
  time?: number
  attempts?: number

  /** Why this is not as it should be, if it is not */
  wrong: string[]
}

/**
 * The two peers, how each reaches the relay, and how much the relay's machine has received and sent
 * over TCP. The last one only if nothing else is played meanwhile, and nothing has to be sent again
 */
interface Cast {
  a: Peer
  b: Peer
  relayOfA: string
  relayOfB: string
  relayBytes?(): Promise<number>
}

/** Dials a peer and waits until that has told at which address it sees this one */
export async function meet (peer: Peer, address: string): Promise<void> {
  const since = peer.mark()
  await peer.ask('dial', address)
  await peer.event({ event: 'observed', peer: idOf(address) }, since)
}

export function idOf (address: string): string {
  return `${address.split('/').at(-1)}`
}

interface State extends PeerEvent {
  announced: string[]
  candidates: string[]
  mappings: string[]
}

export async function stateOf (peer: Peer): Promise<State> {
  return peer.ask<State>('state')
}

/** A dials B over the relay, and both punch. Then all that must be so is verified */
export async function punch (scene: Scene, { a, b, relayOfA, relayOfB, relayBytes }: Cast): Promise<Round> {
  if (scene.isConnected === true) {
    await askOften(scene, async () => a.ask('dial', relayOfA))
  }

  await askOften(scene, async () => b.ask('reserve', relayOfB))

  if (a.implementation === 'go' || b.implementation === 'go') {
    await delay(GO_NOTICES)
  }

  await askOften(scene, async () => a.ask('dial', `${relayOfA}/p2p-circuit/p2p/${b.id}`))

  const [relayed, outcome] = await Promise.all([a.event({ event: 'connected', peer: b.id, relayed: true }), outcomeOf(a, b)])
  const attempts = b.implementation === 'js' ? attemptsOf(b, a) : attemptsOf(a, b)
  const isAsExpected = outcome === scene.expected && attempts <= (scene.attempts ?? Infinity)
  const wrong = isAsExpected ? [] : [`${outcome} after ${attempts} attempts${await whatTheySay(b, a)}`]

  if (outcome !== 'lost' && isJs(a.implementation) && isJs(b.implementation)) {
    wrong.push(...await whatIsOpen(a, b, outcome))
  }

  if (outcome !== 'direct') {
    // to stay on the relay is right only if both ends have tried to punch
    await Promise.all([[a, b], [b, a]].map(async ([one, other]) => {
      return one.implementation === '@libp2p/tcp' ? undefined : one.event({ event: 'hole-punch', peer: other.id })
    }))

    return { outcome, attempts, wrong }
  }

  const direct = await directOf(a, b)
  await scene.onDirect?.(a, b)
  wrong.push(...await whatTheRelayTransfers(async () => {
    await echoDirectly(a, b)
    await echoDirectly(b, a)
  }, scene.lab == null ? QUIET : OTHERWISE_QUIET, relayBytes))

  return { outcome, attempts, wrong, time: Math.max(...direct.map(({ at = NaN }) => at)) - (relayed.at ?? NaN) }
}

/** On a network that loses frames a dial may take longer than libp2p allows. So it is repeated */
async function askOften ({ lab }: Scene, ask: () => Promise<unknown>): Promise<void> {
  for (let dials = 1; ; dials++) {
    try {
      await ask()
      return
    } catch (err) {
      if (lab?.loss == null || dials === MAX_DIALS) {
        throw err
      }
    }
  }
}

async function outcomeOf (a: Peer, b: Peer): Promise<Outcome | 'lost'> {
  const lastWord = b.implementation === 'js'
    // the one that coordinates tells the end, others each attempt
    ? b.event({ event: 'hole-punch', state: 'failed', peer: a.id }, 0, END_TIMEOUT)
    : delay(TIMEOUT)
  const outcome = await Promise.race([directOf(a, b).then(() => 'direct' as const), lastWord.then(() => 'relayed' as const)])

  return a.hasLost(b.id) || b.hasLost(a.id) ? 'lost' : outcome
}

async function directOf (a: Peer, b: Peer): Promise<PeerEvent[]> {
  return Promise.all([
    a.event({ event: 'connected', peer: b.id, relayed: false }, 0, END_TIMEOUT),
    b.event({ event: 'connected', peer: a.id, relayed: false }, 0, END_TIMEOUT)
  ])
}

function attemptsOf (peer: Peer, other: Peer): number {
  return peer.count({ event: 'hole-punch', state: 'begun', peer: other.id })
}

async function whatTheySay (b: Peer, a: Peer): Promise<string> {
  const failed = { event: 'hole-punch', state: 'failed', peer: a.id }

  if (b.count(failed) === 0) {
    return ''
  }

  const { error } = await b.event(failed)

  return `: ${error}`
}

/** The peers must have one connection */
async function whatIsOpen (a: Peer, b: Peer, outcome: Outcome): Promise<string[]> {
  const open = (): number[] => [[a, b], [b, a]].flatMap(([one, other]) => [one.connectionsTo(other.id, false), one.connectionsTo(other.id, true)])
  const expected = outcome === 'direct' ? '1,0,1,0' : '0,1,0,1'
  await until(() => open().join() === expected, CLOSE_TIMEOUT).catch(() => {})
  const found = open()

  return found.join() === expected ? [] : [`A has ${found[0]} direct and ${found[1]} relayed connections, B ${found[2]} and ${found[3]}`]
}

/** Waits until the relay has been quiet for so many ms, but not for ever. Then it must stay quiet */
async function whatTheRelayTransfers (run: () => Promise<void>, quiet: number, count: () => Promise<number> = async () => 0): Promise<string[]> {
  let before = NaN

  await until(async () => {
    const last = before
    before = await count()

    return last === before || delay(quiet).then(() => false)
  }, CLOSE_TIMEOUT).catch(() => {})
  await run()
  const during = await count() - before

  return during === 0 ? [] : [`${during} bytes came to or from the relay while there was a direct connection`]
}

async function echoDirectly (from: Peer, to: Peer): Promise<void> {
  const { relayed } = await from.ask('echo', to.id, ECHO_LENGTH)

  if (relayed === true) {
    throw new Error('The echo went over the relay')
  }
}
