import { until } from '../test/kit/wait.ts'
import { play } from '../test/nat/play.ts'
import { LATENCY } from '../test/nat/scene.ts'
import { CONES, behind } from '../test/nat/scenes.ts'
import type { Peer, PeerEvent } from '../test/interop/peer.ts'

/** What a round trip between the two peers takes in the lab, in ms */
const ROUND_TRIPS = { 'over the relay': 4 * LATENCY, direct: 2 * LATENCY }

const ROUNDS = 10

/** How many more holes the same two nodes punch in each round. The last one is measured */
const LATER = 5

/** How long it may take until the right connections are open, in ms */
const TIMEOUT = 10_000

/**
 * The stages of a hole punch, in their order: how many round trips the protocol needs, and whose
 * protocol it is. Each stage begins when the one before has ended
 */
export const STAGES = [
  stage('the dialed end has the relayed connection as well', 0.5, 'over the relay', 'libp2p (noise)'),
  stage('identify', 1, 'over the relay', 'libp2p'),
  stage('a stream for DCUtR (multistream)', 1, 'over the relay', 'libp2p'),
  stage('CONNECT and its answer', 1, 'over the relay', '@libp2p/dcutr'),
  stage('SYNC', 0.5, 'over the relay', '@libp2p/dcutr'),
  stage('simultaneous open', 1, 'direct', 'TCP, dialed by this package'),
  stage('multistream for noise', 1, 'direct', 'libp2p'),
  stage('noise', 1, 'direct', 'libp2p'),
  stage('yamux, agreed on in noise', 0, 'direct', 'libp2p'),
  stage('the dialed end has the direct connection as well', 0.5, 'direct', 'libp2p (noise)')
]

/**
 * How many ms each stage took in each round, by its name: in the first punch of two new nodes, and
 * in a later one of the same two
 */
export type PunchTimes = Record<string, Record<'first' | 'later', number[]>>

function stage (name: string, roundTrips: number, path: keyof typeof ROUND_TRIPS, whose: string): { name: string, roundTrips: number, path: string, ms: number, whose: string } {
  return { name, roundTrips, path, ms: roundTrips * ROUND_TRIPS[path], whose }
}

/**
 * Punches holes between two port-restricted cone NATs, in the lab of network namespaces. Nobody but
 * the relay tells the nodes at which address they are seen
 *
 * @throws {Error} if not all goes as it should
 */
export async function measurePunch (onMeasure: () => void): Promise<PunchTimes> {
  const times: PunchTimes = Object.fromEntries(STAGES.map(({ name }) => [name, { first: [], later: [] }]))

  const { rounds } = await play({
    ...behind(CONES, { asks: 0 }),
    runs: ROUNDS,
    onDirect: async (a, b) => {
      onMeasure()
      let since = { a: 0, b: 0 }
      await addTimes(times, 'first', { a, b, since })
      const { remote } = await a.event({ event: 'connected', peer: b.id, relayed: true })

      for (let n = 0; n < LATER; n++) {
        await a.ask('close', b.id)
        await untilOpen(a, b, 0)
        since = { a: a.mark(), b: b.mark() }
        await a.ask('dial', `${remote}`)
        await untilOpen(a, b, 1)
      }

      await addTimes(times, 'later', { a, b, since })
    }
  })
  const wrong = rounds.flatMap(round => round.wrong)

  if (wrong.length > 0) {
    throw new Error(wrong.join('; '))
  }

  return times
}

/** Waits until both peers have so many direct connections to each other, and no relayed one */
async function untilOpen (a: Peer, b: Peer, direct: number): Promise<void> {
  await until(() => [[a, b], [b, a]].every(([one, other]) => {
    return one.connectionsTo(other.id, false) === direct && one.connectionsTo(other.id, true) === 0
  }), TIMEOUT)
}

/** A is the peer that has dialed B over the relay. Their events before `since` do not count */
async function addTimes (times: PunchTimes, which: 'first' | 'later', { a, b, since }: { a: Peer, b: Peer, since: { a: number, b: number } }): Promise<void> {
  const ofA = async <T>(fields: PeerEvent): Promise<PeerEvent & T> => a.event({ ...fields, peer: b.id }, since.a) as any
  const ofB = async (fields: PeerEvent): Promise<PeerEvent> => b.event({ ...fields, peer: a.id }, since.b)
  const direct = await ofA<{ timeline: { open: number, handshake: [number, number] } }>({ event: 'connected', relayed: false })

  const [start, ...ends] = [
    (await ofA({ event: 'connected', relayed: true })).time,
    (await ofB({ event: 'connected', relayed: true })).time,
    (await ofB({ event: 'observed', relayed: true })).time,
    (await ofB({ event: 'exchange', state: 'opened' })).time,
    (await ofB({ event: 'exchange', state: 'answered' })).time,
    (await ofA({ event: 'hole-punch', state: 'begun' })).time,
    direct.timeline.open,
    ...direct.timeline.handshake,
    direct.time,
    (await ofB({ event: 'connected', relayed: false })).time
  ].map(Number)

  STAGES.forEach(({ name }, i) => { times[name][which].push(Number((ends[i] - (ends[i - 1] ?? start)).toFixed(1))) })
}
