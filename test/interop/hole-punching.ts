import { setTimeout as delay } from 'node:timers/promises'
import { createLab } from '../lab/lab.ts'
import { repeat } from './cell.ts'
import { startPeer } from './peer.ts'
import type { Cell } from './cell.ts'
import type { Implementation } from './implementations.ts'
import type { Peer } from './peer.ts'
import type { Lab } from '../lab/lab.ts'
import type { Namespace } from '../lab/namespace.ts'
import type { NatKind } from '../lab/nat-rules.ts'
import type { Outcome } from '../nat/nat-pairs.ts'

/**
 * One way, in ms
 */
const LATENCY = 20

/**
 * How long a direct connection is waited for, in ms: three attempts of five
 * seconds
 */
const TIMEOUT = 17_000

/**
 * Tell peers at which address they see them, as does the relay. With a fourth one
 * go-libp2p announces the address as its own, and spends five seconds on a plain
 * dial to it before it punches
 */
const OBSERVERS = ['11.0.0.1', '11.0.0.2']
const RELAY = '11.0.0.3'

/**
 * How long go-libp2p may take to notice what was observed, in ms. Until then it
 * takes part in no hole punch (`p2p/protocol/holepunch/svc.go`,
 * `waitForPublicAddr`)
 */
const GO_NOTICES = 5_500

/**
 * How many hole punches are under way at the same time
 */
const CONCURRENCY = 3

/**
 * The last bytes of the addresses of A, who dials over the relay, and B
 */
const A = 11
const B = 12

/**
 * The port of the first run. Each has another one, so that no NAT remembers the
 * run before
 */
const FIRST_PORT = 4001

const ROLES = ['we', 'they'] as const

interface Case {
  relay: Implementation

  /**
   * Who dials the other one over the relay, and so is the responder of DCUtR
   */
  dialer: typeof ROLES[number]

  /**
   * In front of the dialer, in front of the other one, and what is expected
   */
  nats: [NatKind, NatKind, Outcome]
  runs: number

  /**
   * A frame that is lost in each hole punch
   */
  drop?: DropName

  /**
   * Are all of them in a private network?
   */
  isPrivate?: boolean
}

const WHAT_IS_LOST = {
  'first-syn-to-relay': 'our first SYN to the relay',
  // see `Drop`. Who dials over the relay is the initiator of the direct connection
  'punch-ack': 'the ACK that completes the punch'
}

export type DropName = keyof typeof WHAT_IS_LOST

export const DROPS = Object.keys(WHAT_IS_LOST) as DropName[]

interface Machines {
  observers: Peer[]
  relay: Peer
  a: Namespace
  b: Namespace
}

/**
 * Through a relay of each kind. With `only`: only with these frames lost
 */
export async function * testHolePunching (ours: Implementation, theirs: Implementation, relays: Implementation[], runs: number, only: DropName[] = []): AsyncGenerator<Cell> {
  const played = only.length === 0
    ? [...cases(ours, relays, runs), ...privateCases(ours, theirs, runs), ...dropCases(DROPS, [ours], Math.min(runs, 2))]
    : dropCases(only, relays, runs)

  for (const testCase of played) {
    yield play(ours, theirs, testCase)
  }
}

/**
 * Both SYNs meet, the one of A arrives at B's listener, the one of B at A's
 */
function privateCases (relay: Implementation, theirs: Implementation, runs: number): Case[] {
  if (theirs === 'rust') {
    return []
  }

  return ROLES.flatMap(dialer => [
    { relay, dialer, nats: ['port-restricted', 'port-restricted', 'direct'], runs, isPrivate: true },
    { relay, dialer, nats: ['symmetric', 'full-cone', 'direct'], runs, isPrivate: true },
    { relay, dialer, nats: ['full-cone', 'symmetric', 'direct'], runs, isPrivate: true }
  ])
}

function dropCases (drops: DropName[], relays: Implementation[], runs: number): Case[] {
  return drops.flatMap(drop => relays.flatMap(relay => ROLES.map((dialer): Case => ({ relay, dialer, nats: ['port-restricted', 'port-restricted', 'direct'], runs, drop }))))
}

function cases (ours: Implementation, relays: Implementation[], runs: number): Case[] {
  const few = Math.min(runs, 2)

  return ROLES.flatMap(dialer => [
    ...relays.map((relay): Case => ({ relay, dialer, nats: ['port-restricted', 'port-restricted', 'direct'], runs })),
    { relay: ours, dialer, nats: ['none', 'port-restricted', 'direct'], runs: few },
    { relay: ours, dialer, nats: ['port-restricted', 'none', 'direct'], runs: few },
    { relay: ours, dialer, nats: ['full-cone', 'port-restricted', 'direct'], runs: few },
    { relay: ours, dialer, nats: ['port-restricted', 'full-cone', 'direct'], runs: few },
    { relay: ours, dialer, nats: ['none', 'symmetric', 'direct'], runs: few },
    { relay: ours, dialer, nats: ['symmetric', 'none', 'direct'], runs: few },
    { relay: ours, dialer, nats: ['full-cone', 'symmetric', 'direct'], runs: few },
    { relay: ours, dialer, nats: ['symmetric', 'full-cone', 'direct'], runs: few },
    // it takes long to find out that there is no way
    { relay: ours, dialer, nats: ['port-restricted', 'symmetric', 'relayed'], runs: 1 },
    { relay: ours, dialer, nats: ['symmetric', 'port-restricted', 'relayed'], runs: 1 }
  ])
}

async function play (ours: Implementation, theirs: Implementation, { relay, dialer, nats: [natA, natB, expected], runs, drop, isPrivate }: Case): Promise<Cell> {
  const lab = createLab({ latency: LATENCY })
  const flags = isPrivate === true ? ['--psk', '1'] : []
  const [implementationA, implementationB] = dialer === 'we' ? [ours, theirs] : [theirs, ours]

  try {
    const publicMachine = await lab.host(...OBSERVERS.map(host => `${host}/24`))
    const machines: Machines = {
      observers: await Promise.all(OBSERVERS.map(async host => startPeer({ implementation: ours, machine: publicMachine, host, port: 4001, bind: host, flags }))),
      relay: await startPeer({ implementation: relay, machine: await lab.host(`${RELAY}/24`), host: RELAY, port: 4001, flags: [...flags, '--relay-server'] }),
      a: await lab.hostBehind(natA, A),
      b: await lab.hostBehind(natB, B)
    }

    const what = [...(isPrivate === true ? [', in a private network'] : []), ...(drop == null ? [] : [`, lost: ${WHAT_IS_LOST[drop]}`])].join('')

    return await repeat(`${dialer} dial over the ${relay} relay, ${natA} and ${natB}${what}: ${expected}`, runs, async n => {
      const port = FIRST_PORT + n
      const a = await startPeer({ implementation: implementationA, machine: machines.a, host: `11.0.0.${A}`, port, flags })
      const b = await startPeer({ implementation: implementationB, machine: machines.b, host: `11.0.0.${B}`, port, flags })
      const [us, them] = dialer === 'we' ? [a, b] : [b, a]

      try {
        const lost = drop == null ? undefined : await lab.drop(...framesLost(drop, { a: endOf(a), b: endOf(b), us: endOf(us) }))
        // who has asked others would not need the relay to know its address
        await punch(machines, a, b, expected, drop === 'first-syn-to-relay' ? [them] : [a, b])
        await lost?.()

        if (drop === 'punch-ack') {
          expectOneAttempt(us, them)
        }
      } finally {
        await Promise.all([a.stop(), b.stop()])
      }
    }, CONCURRENCY, async () => expected === 'direct' ? [`${await lab.simultaneousOpens()} simultaneous opens`] : [])
  } finally {
    await lab.stop()
  }
}

/**
 * As the lab calls where a peer listens
 */
function endOf ({ endpoint }: Peer): string {
  const [,, host,, port] = endpoint.split('/')

  return `${host}:${port}`
}

function framesLost (drop: DropName, { a, b, us }: Record<'a' | 'b' | 'us', string>): Parameters<Lab['drop']> {
  return drop === 'first-syn-to-relay' ? ['first-syn', us, `${RELAY}:4001`] : ['punch-ack', a, b]
}

/**
 * @throws {Error} if a punch has failed, or been repeated
 */
function expectOneAttempt (us: Peer, them: Peer): void {
  const attempts = us.count({ event: 'hole-punch', state: 'begun', peer: them.id })

  if (attempts !== 1) {
    throw new Error(`Direct only after ${attempts} attempts`)
  }
}

async function punch ({ observers, relay }: Machines, a: Peer, b: Peer, expected: Outcome, asking: Peer[]): Promise<void> {
  await Promise.all(asking.map(async peer => {
    for (const observer of observers) {
      await peer.ask('dial', observer.address)
      await peer.event({ event: 'observed', peer: observer.id })
    }
  }))

  const { address } = await b.ask('reserve', relay.address)

  if (a.implementation === 'go' || b.implementation === 'go') {
    await delay(GO_NOTICES)
  }

  await a.ask('dial', `${address}`)

  const outcome = await Promise.race([
    Promise.all([
      a.event({ event: 'connected', peer: b.id, relayed: false }, 0, TIMEOUT),
      b.event({ event: 'connected', peer: a.id, relayed: false }, 0, TIMEOUT)
    ]).then(() => 'direct', (err: Error) => `relayed (${err.message})`),
    ...(expected === 'relayed' ? [delay(TIMEOUT - 1_000).then(() => 'relayed')] : [])
  ])

  if (outcome !== expected) {
    throw new Error(outcome)
  }

  if (outcome === 'direct') {
    await echoDirectly(a, b)
    await echoDirectly(b, a)
  } else {
    // staying on the relay is right only for those who have tried not to
    await a.event({ event: 'hole-punch', state: 'begun', peer: b.id })
    await b.event({ event: 'hole-punch', state: 'begun', peer: a.id })
  }
}

async function echoDirectly (from: Peer, to: Peer): Promise<void> {
  const { relayed } = await from.ask('echo', to.id, 60_000)

  if (relayed === true) {
    throw new Error('The echo went over the relay')
  }
}
