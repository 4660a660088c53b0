import { EXPECTED, NAT_PAIRS } from './nat-pairs.ts'
import { MACHINES } from './scene.ts'
import type { NatPair } from './nat-pairs.ts'
import type { Scene, Side } from './scene.ts'
import type { Weather } from '../lab/lab.ts'
import type { NatKind } from '../lab/nat-rules.ts'

/** In so many rounds on a network that loses frames one may stay on the relay */
const ROUNDS_FOR_ONE = 20

/** How many public nodes a peer must dial to be sure of its NAT's mapping */
const ENOUGH_TO_ASK = 4

/** How far away a far peer is, in ms one way */
const FAR = 300

export const CONES: NatPair = ['port-restricted', 'port-restricted', 'direct']

/**
 * What is played in a private network as well: both SYNs meet, A's arrives at B's listener,
 * B's arrives at A's
 */
export const PRIVATE_PAIRS: NatPair[] = [
  CONES,
  ['symmetric', 'full-cone', 'direct'],
  ['full-cone', 'symmetric', 'direct']
]

/**
 * Frames that are lost in each round. The peer that dials over the relay is the initiator of the
 * direct connection:
 *
 * - `first-syn-to-relay`: the first SYN of one of the peers to the relay. Linux sends it
 * again after 1,000 ms
 * - the others: see `Drop`
 */
export const DROPS: Record<string, Array<Pick<Scene, 'special' | 'drop' | 'attempts'>>> = {
  'first-syn-to-relay': [
    { special: 'lost: the first SYN to the relay of the peer that dials', drop: ({ dialer, relay }) => ['first-syn', dialer, relay] },
    { special: 'lost: the first SYN to the relay of the peer that is dialed', drop: ({ dialed, relay }) => ['first-syn', dialed, relay] }
  ],
  'punch-ack': [
    { special: 'lost: the SYN of the initiator, and the ACK to its SYN-ACK', drop: ({ dialer, dialed }) => ['punch-ack', dialer, dialed], attempts: 1 }
  ],
  'punch-ack-and-syn-ack': [
    { special: 'lost: the same, and the SYN-ACK that follows', drop: ({ dialer, dialed }) => ['punch-ack-and-syn-ack', dialer, dialed], attempts: 1 }
  ],
  'punch-syn-ack-and-ack': [
    { special: 'lost: the SYN of the initiator, its SYN-ACK, and the ACK to the next one', drop: ({ dialer, dialed }) => ['punch-syn-ack-and-ack', dialer, dialed], attempts: 1 }
  ]
}

/** Two peers behind two NATs, with something different for both, or for the first */
export function behind ([first, second, expected]: NatPair, both: Partial<Side> = {}, onlyFirst: Partial<Side> = {}): Pick<Scene, 'names' | 'sides' | 'expected'> {
  const kinds: [NatKind, NatKind] = [first, second]

  return {
    names: kinds,
    expected,
    sides: async lab => [
      { machine: await lab.hostBehind(first, MACHINES[0]), expected: EXPECTED[first], ...familyOf(first), ...both, ...onlyFirst },
      { machine: await lab.hostBehind(second, MACHINES[1]), expected: EXPECTED[second], ...familyOf(second), ...both }
    ]
  }
}

function familyOf (kind: NatKind): Partial<Side> {
  return kind === 'firewalled-ipv6' ? { families: ['ip6'], relay: 'ip6' } : { asks: ENOUGH_TO_ASK }
}

/** All pairs of NATs, and what makes a difference to some of them */
export function natPairs (runs: number): Scene[] {
  return [
    // it takes long to find out that there is no way
    ...NAT_PAIRS.map((pair): Scene => ({ ...behind(pair), runs: pair[2] === 'direct' ? runs : 1 })),
    // its connections are relayed ones all the same
    { ...behind(CONES), runs, special: 'unlimited relay', relay: 'unlimited' },
    // then B tries a plain dial first (DCUtR.md, "unilateral connection upgrade"), which
    // succeeds, or else must not be in the way of the punch
    { ...behind(['none', CONES[1], 'direct'], {}, { isAnnounced: true }), runs, special: 'first announced' },
    { ...behind(CONES, {}, { isAnnounced: true }), runs, special: 'first announced' },
    ...PRIVATE_PAIRS.map((pair): Scene => ({ ...behind(pair), runs, special: 'private network', isPrivate: true })),
    { ...behind(CONES), runs, special: '10 ms', lab: { latency: 10 } },
    { ...behind(CONES), runs, special: '100 ms', lab: { latency: 100 } },
    { ...behind([CONES[0], CONES[1], 'relayed'], { implementation: '@libp2p/tcp' }), runs: 1, special: 'stock libp2p' }
  ]
}

/**
 * On a network that loses and delays frames at random. Nobody but the relay tells the peers at
 * which address they are seen
 */
export function lossy (latency: number, { loss, jitter, seed }: Required<Weather>, runs: number): Scene {
  return {
    ...behind(CONES, { asks: 0 }),
    runs,
    special: `${loss} % lost, ${latency} ms and up to ${jitter} ms more, seed ${seed}`,
    dials: 'in turn',
    isConnected: true,
    lab: { latency, loss, jitter, seed },
    mayFail: loss === 0 ? 0 : Math.ceil(runs / ROUNDS_FOR_ONE)
  }
}

export function far (runs: number): Scene {
  return { ...behind(CONES, { asks: 0 }), runs, special: `${FAR} ms`, dials: 'in turn', isConnected: true, lab: { latency: FAR } }
}

export function dropped (names: string[], runs: number): Scene[] {
  return names.flatMap(name => DROPS[name].map((drop): Scene => ({ ...behind(CONES, { asks: 0 }), runs, dials: 'in turn', ...drop })))
}

/**
 * A symmetric NAT that gives each new connection the next port. From the ports of its last
 * connections a peer can guess which port the punch will have
 */
export function counting (runs: number): Scene[] {
  const because = 'the port of the punch is one of the next after those that were observed'

  return [
    { ...behind(['counting', 'port-restricted', 'direct'], {}, { asksAtOnce: 1 }), runs, special: 'quiet', because },
    { ...behind(['counting', 'port-restricted', 'direct'], {}, { asksAtOnce: 1, otherFlows: 2 }), runs, special: 'two other connections a second', because }
  ].map((scene): Scene => ({ ...scene, dials: 'in turn' }))
}
