import pMap from 'p-map'
import { isJs } from '../interop/implementations.ts'
import { startPeer } from '../interop/peer.ts'
import { startProgram } from '../kit/processes.ts'
import { countTcpBytes } from '../lab/byte-counter.ts'
import { createLab } from '../lab/lab.ts'
import { meet, punch, stateOf } from './punch.ts'
import { LATENCY, MACHINES } from './scene.ts'
import type { Round } from './punch.ts'
import type { Relay } from './relay.ts'
import type { Scene, Side } from './scene.ts'
import type { Implementation } from '../interop/implementations.ts'
import type { Peer } from '../interop/peer.ts'
import type { Lab } from '../lab/lab.ts'

/** After so many rounds that went wrong the others are not played */
const ENOUGH = 5

/**
 * The public nodes: a relay that can be reached both ways, one that only speaks IPv6, and
 * four that tell peers at which IPv4 address they see them: it takes four that a peer has
 * dialed to be sure of its NAT's mapping
 */
const PUBLIC_NODES = ['/ip4/11.0.0.1/tcp/4001,/ip6/2b00::1/tcp/4001', '/ip6/2b00::2/tcp/4001', ...[3, 4, 5, 6].map(n => `/ip4/11.0.0.${n}/tcp/4001`)]
const RELAY = '11.0.0.1'

/**
 * The ports of the two peers in the first round. Each round has other ones, so that no NAT
 * remembers the round before
 */
const FIRST_PORTS = [4001, 5001]

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
  relayBytes?(): Promise<number>
}

/** Plays all rounds of a scene */
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
        rounds.push(await playRound(stage, n).catch((err: Error): Round => ({ wrong: [err.message] })))
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

/** Sends datagrams, each from a new port. The process ends with its stdin */
function makeOtherFlows ({ machine, otherFlows }: Side): { stop(): Promise<unknown> } | undefined {
  return otherFlows == null
    ? undefined
    : startProgram(...machine.commandLine('bash', '-c', `while read -t ${1 / otherFlows}; [ $? -gt 128 ]; do echo > /dev/udp/${RELAY}/9; done`), () => {})
}

/** The peers are new in each round, so nobody knows them from before */
async function playRound (stage: Stage, n: number): Promise<Round> {
  const dialer = stage.scene.dials === 'in turn' ? n % 2 : 0
  const { drop } = stage.scene
  const lost = drop == null ? undefined : await stage.lab.drop(...drop({ dialer: endOf(dialer, n), dialed: endOf(1 - dialer, n), relay: endOfRelay(stage, dialer) }))
  const peers = await Promise.all([0, 1].map(async i => start(stage, i, n, i === dialer ? [] : ['--listen', `${relayOf(stage, i)}/p2p-circuit`])))
  const [a, b] = [peers[dialer], peers[1 - dialer]]

  try {
    const wrong = (await Promise.all(peers.map(async (peer, i) => askObservers(stage, peer, i)))).flat()
    const round = await punch(stage.scene, { a, b, relayOfA: relayOf(stage, dialer), relayOfB: relayOf(stage, 1 - dialer), relayBytes: stage.relayBytes })
    await lost?.()

    return { ...round, wrong: [...wrong, ...round.wrong].map(what => `the ${['first', 'second'][dialer]} one dials: ${what}`) }
  } finally {
    await Promise.all(peers.map(async peer => peer.stop()))
  }
}

function relayOf ({ sides, relay }: Stage, i: number): string {
  return relay[sides[i].relay ?? 'ip4']
}

/** Only js-peer can listen on the relay from the start */
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

/** Where a peer listens, as the lab calls it */
function endOf (i: number, n: number): string {
  return `11.0.0.${MACHINES[i]}:${FIRST_PORTS[i] + n}`
}

function endOfRelay (stage: Stage, i: number): string {
  const [,, host,, port] = relayOf(stage, i).split('/')

  return `${host}:${port}`
}

/** @returns what is wrong with what it has found out by that */
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
