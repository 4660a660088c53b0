import { setTimeout as delay } from 'node:timers/promises'
import pMap from 'p-map'
import { startPeer } from '../interop/peer.ts'
import { startProgram } from '../kit/processes.ts'
import { until } from '../kit/wait.ts'
import { countTcpBytes } from '../lab/byte-counter.ts'
import { createLab } from '../lab/lab.ts'
import type { Expected } from './nat-pairs.ts'
import type { Relay } from './relay.ts'
import type { Implementation } from '../interop/implementations.ts'
import type { Peer, PeerEvent } from '../interop/peer.ts'
import type { Lab, LabOptions } from '../lab/lab.ts'
import type { Namespace } from '../lab/namespace.ts'

/**
 * One way, in ms, if not said otherwise
 */
const LATENCY = 20

/**
 * How long a direct connection is waited for, in ms, if nobody says that it will not come:
 * three attempts of five seconds. And how long that is waited for
 */
const TIMEOUT = 17_000
const END_TIMEOUT = 60_000

/**
 * How long it may take until only the right connections are open, in ms
 */
const CLOSE_TIMEOUT = 10_000

/**
 * How long go-libp2p may take to notice what was observed, in ms. Until then it takes part
 * in no hole punch (`p2p/protocol/holepunch/svc.go`, `waitForPublicAddr`)
 */
const GO_NOTICES = 5_500

/**
 * How much is echoed over the direct connection, and how often in vain a relayed connection is
 * dialed on a network that loses frames
 */
const ECHO_LENGTH = 60_000
const RELAYED_DIALS = 3

/**
 * For how long nothing must come to the relay until all is done there, in ms: four round trips.
 * And the same where frames are not under way as long as usual
 */
const QUIET = 4 * 2 * LATENCY
const OTHERWISE_QUIET = 2_400

/**
 * After so many rounds that went wrong the others are not played
 */
const ENOUGH = 5

/**
 * The public nodes: a relay that can be reached both ways, one that only speaks IPv6, and
 * four that tell peers at which IPv4 address they see them: it takes four that a peer has
 * dialed to be sure of its NAT's mapping
 */
const PUBLIC_NODES = ['/ip4/11.0.0.1/tcp/4001,/ip6/2b00::1/tcp/4001', '/ip6/2b00::2/tcp/4001', ...[3, 4, 5, 6].map(n => `/ip4/11.0.0.${n}/tcp/4001`)]
const RELAY = '11.0.0.1'

/**
 * What the machines are called in their addresses, and their ports in the first round. Each
 * round has other ones, so that no NAT remembers the round before
 */
export const MACHINES = [11, 12]
const FIRST_PORTS = [4001, 5001]

export type Outcome = 'direct' | 'relayed'

/**
 * One of the two peers
 */
export interface Side {
  machine: Namespace

  /**
   * This package if not said otherwise
   */
  implementation?: Implementation

  /**
   * What it listens on. IPv4 by default
   */
  families?: Array<'ip4' | 'ip6'>

  /**
   * Where it reaches the relay. By IPv4 by default
   */
  relay?: 'ip4' | 'ip6' | 'onlyIp6'

  /**
   * How many public nodes beside the relay it dials, and so learns its address from, and
   * how many of them at a time. None by default
   */
  asks?: number
  asksAtOnce?: number

  /**
   * Does it announce its address, although it may not be dialable?
   */
  isAnnounced?: boolean

  /**
   * How many other new connections its machine makes through its NAT, in a second
   */
  otherFlows?: number

  /**
   * What it is to find out about its NAT when it has asked
   */
  expected?: Expected
}

/**
 * Two peers connect over a relay and punch a hole
 */
export interface Scene {
  names: [string, string]
  sides(lab: Lab): Promise<[Side, Side]>
  expected: Outcome
  runs: number

  /**
   * What is different, and why it comes out as expected
   */
  special?: string
  because?: string

  /**
   * Who dials over the relay, and so is the initiator of the direct connection. The first
   * one by default
   */
  dials?: 'first' | 'in turn'

  /**
   * Is who dials connected to the relay already?
   */
  isConnected?: boolean
  lab?: Partial<LabOptions>

  /**
   * What relays: a node of js-libp2p, with limits or without, or another implementation.
   * With limits by default
   */
  relay?: 'limited' | 'unlimited' | 'go' | 'rust'

  /**
   * Are all in a private network?
   */
  isPrivate?: boolean

  /**
   * Frames that are lost in each round, given where who dials over the relay, the other one and
   * the relay listen
   */
  drop?(ends: Record<'dialer' | 'dialed' | 'relay', string>): Parameters<Lab['drop']>

  /**
   * How many attempts there may be, and how many rounds may go wrong. By default this does
   * not matter, and none
   */
  attempts?: number
  mayFail?: number

  /**
   * How many rounds are played at a time
   */
  atOnce?: number
}

export interface Round {
  outcome?: Outcome | 'lost'

  /**
   * From the relayed connection to the direct one on both ends, in ms
   */
  time?: number
  attempts?: number

  /**
   * Why this is not as it should be, if it is not
   */
  wrong: string[]
}

export interface Played {
  scene: Scene
  rounds: Round[]
  simultaneousOpens: number
}

interface Stage {
  scene: Scene
  lab: Lab
  sides: [Side, Side]
  relay: Record<NonNullable<Side['relay']>, string>
  observers: string[]

  /**
   * How much the relay's machine has received and sent over TCP. Only if nothing else is
   * played meanwhile, and nothing has to be sent again
   */
  relayBytes?(): Promise<number>
}

/**
 * Plays all rounds of a scene
 */
export async function play (scene: Scene): Promise<Played> {
  const { runs, lab: options, sides, atOnce = 1, isPrivate } = scene
  const lab = createLab({ latency: LATENCY, ...options })
  const rounds: Round[] = []

  try {
    const publicMachine = await lab.host('11.0.0.1/24', ...[3, 4, 5, 6].map(n => `11.0.0.${n}/24`), '2b00::1/64', '2b00::2/64')
    const kind = isPrivate === true ? 'private' : scene.relay ?? 'limited'
    const nodes = publicMachine.start<Relay>(new URL('./relay.ts', import.meta.url), kind, ...PUBLIC_NODES)
    const [ip4, ip6, onlyIp6, ...observers] = await nodes.ask('addresses')
    const stage: Stage = {
      scene,
      lab,
      sides: await sides(lab),
      relay: { ip4: scene.relay === 'go' || scene.relay === 'rust' ? await startRelay(lab, scene.relay, isPrivate) : ip4, ip6, onlyIp6 },
      observers,
      relayBytes: atOnce > 1 || options?.loss != null ? undefined : await countTcpBytes(publicMachine)
    }
    const flows = stage.sides.map(makeOtherFlows)

    await pMap(Array(runs).keys(), async n => {
      if (rounds.filter(({ wrong }) => wrong.length > 0).length < ENOUGH) {
        rounds.push(await playRound(stage, n))
      }
    }, { concurrency: atOnce })
    await Promise.all(flows.map(async flow => flow?.stop()))

    return { scene, rounds, simultaneousOpens: await lab.simultaneousOpens() }
  } finally {
    await lab.stop()
  }
}

async function startRelay (lab: Lab, implementation: Implementation, isPrivate?: boolean): Promise<string> {
  const machine = await lab.host('11.0.0.9/24')

  return (await startPeer({ implementation, machine, host: '11.0.0.9', port: 4001, flags: [...privacy(isPrivate), '--relay-server'] })).address
}

function privacy (isPrivate?: boolean): string[] {
  return isPrivate === true ? ['--psk', '1'] : []
}

/**
 * A datagram from another port each time. It ends with its stdin
 */
function makeOtherFlows ({ machine, otherFlows }: Side): { stop(): Promise<unknown> } | undefined {
  return otherFlows == null
    ? undefined
    : startProgram(...machine.commandLine('bash', '-c', `while read -t ${1 / otherFlows}; [ $? -gt 128 ]; do echo > /dev/udp/${RELAY}/9; done`), () => {})
}

/**
 * The peers are new in each round, so nobody knows them from before
 */
async function playRound (stage: Stage, n: number): Promise<Round> {
  const dialer = stage.scene.dials === 'in turn' ? n % 2 : 0
  const who = stage.scene.dials === 'in turn' ? `the ${['first', 'second'][dialer]} one dials: ` : ''
  const { drop } = stage.scene
  const lost = drop == null ? undefined : await stage.lab.drop(...drop({ dialer: endOf(dialer, n), dialed: endOf(1 - dialer, n), relay: endOfRelay(stage, dialer) }))
  const peers = await Promise.all([0, 1].map(async i => start(stage, i, n, i === dialer ? [] : ['--listen', `${relayOf(stage, i)}/p2p-circuit`])))
  const [a, b] = [peers[dialer], peers[1 - dialer]]

  try {
    const wrong = (await Promise.all(peers.map(async (peer, i) => askObservers(stage, peer, i)))).flat()
    const round = await punch(stage, { a, b, relayOfA: relayOf(stage, dialer), relayOfB: relayOf(stage, 1 - dialer) })
    await lost?.()

    return { ...round, wrong: [...wrong, ...round.wrong].map(what => `${who}${what}`) }
  } catch (err: any) {
    return { wrong: [`${who}${err.message}`] }
  } finally {
    await Promise.all(peers.map(async peer => peer.stop()))
  }
}

function relayOf ({ sides, relay }: Stage, i: number): string {
  return relay[sides[i].relay ?? 'ip4']
}

/**
 * Only js-peer can listen on the relay from the start
 */
async function start ({ scene: { isPrivate }, sides }: Stage, i: number, n: number, onRelay: string[]): Promise<Peer> {
  const { machine, implementation = 'js', families = ['ip4'], isAnnounced } = sides[i]
  const port = FIRST_PORTS[i] + n
  const host = families[0] === 'ip4' ? `11.0.0.${MACHINES[i]}` : `2b00::${MACHINES[i]}`

  return startPeer({
    implementation,
    machine,
    host,
    port,
    flags: [
      ...families.slice(1).flatMap(family => ['--listen', `/${family}/::/tcp/${port}`]),
      ...(isAnnounced === true ? ['--announce', `/ip4/${host}/tcp/${port}`] : []),
      ...privacy(isPrivate),
      ...(isJs(implementation) ? onRelay : [])
    ]
  })
}

function isJs (implementation: Implementation): boolean {
  return implementation === 'js' || implementation === '@libp2p/tcp'
}

/**
 * Where a peer listens, as the lab calls it
 */
function endOf (i: number, n: number): string {
  return `11.0.0.${MACHINES[i]}:${FIRST_PORTS[i] + n}`
}

function endOfRelay (stage: Stage, i: number): string {
  const [,, host,, port] = relayOf(stage, i).split('/')

  return `${host}:${port}`
}

/**
 * @returns what is wrong with what it has found out by that
 */
async function askObservers ({ sides, observers }: Stage, peer: Peer, i: number): Promise<string[]> {
  const { asks = 0, asksAtOnce = observers.length, expected, implementation } = sides[i]

  await pMap(observers.slice(0, asks), async observer => meet(peer, observer), { concurrency: asksAtOnce })

  if (expected == null || asks < observers.length || (implementation ?? 'js') !== 'js') {
    return []
  }

  const { mappings, candidates } = await stateOf(peer)

  return [
    ...(mappings.join() === expected.mapping ? [] : [`the mapping of the ${['first', 'second'][i]} one looks ${mappings.join() || 'like none'}`]),
    ...(candidates.length <= expected.candidates ? [] : [`the ${['first', 'second'][i]} one would have ${candidates.length} addresses dialed`])
  ]
}

/**
 * Dials a peer and waits until that has told at which address it sees this one
 */
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

/**
 * A dials B over the relay, and both punch
 */
export async function punch ({ scene, relayBytes }: Pick<Stage, 'scene' | 'relayBytes'>, { a, b, relayOfA, relayOfB }: { a: Peer, b: Peer, relayOfA: string, relayOfB: string }): Promise<Round> {
  if (scene.isConnected === true) {
    await dialRelayed(scene, a, relayOfA)
  }

  await b.ask('reserve', relayOfB)

  if (a.implementation === 'go' || b.implementation === 'go') {
    await delay(GO_NOTICES)
  }

  await dialRelayed(scene, a, `${relayOfA}/p2p-circuit/p2p/${b.id}`)

  const [relayed, outcome] = await Promise.all([a.event({ event: 'connected', peer: b.id, relayed: true }), outcomeOf(a, b)])
  const attempts = b.implementation === 'js' ? attemptsOf(b, a) : attemptsOf(a, b)
  const isAsExpected = outcome === scene.expected && attempts <= (scene.attempts ?? Infinity)
  const wrong = isAsExpected ? [] : [`${outcome} after ${attempts} attempts${await whatTheySay(b, a)}`]

  if (outcome !== 'lost' && isJs(a.implementation) && isJs(b.implementation)) {
    wrong.push(...await whatIsOpen(a, b, outcome))
  }

  if (outcome !== 'direct') {
    // staying on the relay is right only for those who have tried not to
    await Promise.all([[a, b], [b, a]].map(async ([one, other]) => {
      return one.implementation === '@libp2p/tcp' ? undefined : one.event({ event: 'hole-punch', peer: other.id })
    }))

    return { outcome, attempts, wrong }
  }

  const direct = await directOf(a, b)
  wrong.push(...await whatTheRelayTransfers(async () => {
    await echoDirectly(a, b)
    await echoDirectly(b, a)
  }, scene.lab == null ? QUIET : OTHERWISE_QUIET, relayBytes))

  return { outcome, attempts, wrong, time: Math.max(...direct.map(({ at = NaN }) => at)) - (relayed.at ?? NaN) }
}

/**
 * On a network that loses frames a dial may take longer than libp2p allows
 */
async function dialRelayed ({ lab }: Scene, peer: Peer, address: string): Promise<void> {
  for (let dials = 1; ; dials++) {
    try {
      await peer.ask('dial', address)
      return
    } catch (err) {
      if (lab?.loss == null || dials === RELAYED_DIALS) {
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

/**
 * The peers must have one connection
 */
async function whatIsOpen (a: Peer, b: Peer, outcome: Outcome): Promise<string[]> {
  const open = (): number[] => [[a, b], [b, a]].flatMap(([one, other]) => [one.connectionsTo(other.id, false), one.connectionsTo(other.id, true)])
  const expected = outcome === 'direct' ? '1,0,1,0' : '0,1,0,1'
  await until(() => open().join() === expected, CLOSE_TIMEOUT).catch(() => {})
  const found = open()

  return found.join() === expected ? [] : [`A has ${found[0]} direct and ${found[1]} relayed connections, B ${found[2]} and ${found[3]}`]
}

/**
 * Waits until the relay has been quiet for so many ms, but not for ever. Then it must stay quiet
 */
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
