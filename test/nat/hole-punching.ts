import { markdownTable } from 'markdown-table'
import { inMs, print } from '../kit/print.ts'
import { median } from '../kit/statistics.ts'
import { countTcpBytes } from '../lab/byte-counter.ts'
import { createLab } from '../lab/lab.ts'
import { EXPECTED_MAPPING, NAT_PAIRS, isConePair } from './nat-pairs.ts'
import { playPunch } from './punch.ts'
import type { NatPair } from './nat-pairs.ts'
import type { Punch } from './punch.ts'
import type { StackName } from './punching-peer.ts'
import type { Relay } from './relay.ts'

/**
 * The one-way latency of the matrix, in ms
 */
const LATENCY = 20

/**
 * How many round trips between the hosts it may take from a relayed connection to
 * a direct one, in the median
 */
const MAX_ROUND_TRIPS = 15

/**
 * The addresses of the relay and of the other public nodes: it takes four that a
 * peer has dialed to be sure of its NAT's mapping. The last one speaks IPv6
 */
const PUBLIC_NODES = ['/ip4/11.0.0.1', '/ip4/11.0.0.2', '/ip4/11.0.0.3', '/ip4/11.0.0.4', '/ip4/11.0.0.5', '/ip6/2b00::1']

/**
 * What the machines of A and B are called in their addresses
 */
const A = 11
const B = 12

/**
 * The port of the first run. Each has another one, so that no NAT remembers the
 * run before
 */
const FIRST_PORT = 4001

/**
 * What is played in a private network as well: both SYNs meet, A's arrives at B's listener,
 * B's arrives at A's
 */
const PRIVATE_PAIRS: NatPair[] = [
  ['port-restricted', 'port-restricted', 'direct'],
  ['symmetric', 'full-cone', 'direct'],
  ['full-cone', 'symmetric', 'direct']
]

const COLUMNS = ['stack', 'latency', 'A', 'B', 'with', 'expected', 'direct', 'simultaneous open', 'relayed to direct: median', 'worst', 'round trip: relayed', 'direct']

interface Case {
  stack: StackName

  /**
   * One way, in ms
   */
  latency: number
  pair: NatPair
  runs: number

  /**
   * What is different
   */
  special?: 'unlimited relay' | 'A announced'
}

interface Played extends Case {
  punches: Punch[]
  simultaneousOpens: number

  /**
   * Of runs that came to no result
   */
  errors: string[]
}

/**
 * Two nodes behind two NATs connect over a relay, and punch a hole for a direct
 * connection. Returns what is wrong
 */
export async function testHolePunching (runs: number): Promise<string[]> {
  const played: Played[] = []

  print('Two nodes behind NATs, connected over a relay, punch holes. This takes minutes', '')

  for (const testCase of cases(runs)) {
    played.push(await play(testCase))
  }

  print(markdownTable([COLUMNS, ...played.map(cells)]), '')
  printTimes(played)

  return played.flatMap(whatFailed)
}

function cases (runs: number): Case[] {
  const common: Omit<Case, 'pair'> = { stack: 'this package', latency: LATENCY, runs }
  const matrix = NAT_PAIRS.map((pair): Case => {
    // it takes long to find out that there is no way
    return { ...common, pair, runs: pair[2] === 'direct' ? runs : 1 }
  })
  const pair: NatPair = ['port-restricted', 'port-restricted', 'direct']

  return [
    ...matrix,
    // its connections are relayed ones all the same
    { ...common, pair, special: 'unlimited relay' },
    // then B tries a plain dial first (DCUtR.md, "unilateral connection upgrade"),
    // which succeeds, or else must not be in the way of the punch
    { ...common, pair: ['none', pair[1], 'direct'], special: 'A announced' },
    { ...common, pair, special: 'A announced' },
    ...PRIVATE_PAIRS.map((pair): Case => ({ ...common, pair, stack: 'private network' })),
    { ...common, pair, latency: 10 },
    { ...common, pair, latency: 100 },
    { ...common, pair: [pair[0], pair[1], 'relayed'], stack: 'stock libp2p', runs: 1 }
  ]
}

async function play (testCase: Case): Promise<Played> {
  const { stack, latency, pair: [kindA, kindB], runs, special } = testCase
  const lab = createLab({ latency })
  const punches: Punch[] = []
  const errors: string[] = []

  try {
    const addresses = PUBLIC_NODES.map(node => node.split('/')[2])
    const relayHost = await lab.host(...addresses.map(address => `${address}/${address.includes(':') ? 64 : 24}`))
    const publicNodes = relayHost.start<Relay>(new URL('./relay.ts', import.meta.url), kindOfRelay(testCase), ...PUBLIC_NODES.map(node => `${node}/tcp/4001`))
    const relayBytes = await countTcpBytes(relayHost)
    const a = await lab.hostBehind(kindA, A)
    const b = await lab.hostBehind(kindB, B)
    const family = kindA === 'firewalled-ipv6' ? 6 : 4
    const [relay, ...observers] = (await publicNodes.ask('addresses')).filter(address => address.startsWith(`/ip${family}`))

    for (let run = 0; run < runs; run++) {
      const port = FIRST_PORT + run
      const common = { listen: [family === 4 ? `/ip4/0.0.0.0/tcp/${port}` : `/ip6/::/tcp/${port}`], relay, observers }
      const announced = special === 'A announced' ? `/ip4/11.0.0.${A}/tcp/${port}` : undefined

      await playPunch({ relayBytes, a: { ...common, machine: a, announced }, b: { ...common, machine: b } }, stack).then(
        punch => punches.push(punch),
        (err: Error) => errors.push(err.message)
      )
    }

    return { ...testCase, punches, errors, simultaneousOpens: await lab.simultaneousOpens() }
  } finally {
    await lab.stop()
  }
}

function kindOfRelay ({ stack, special }: Case): string {
  if (stack === 'private network') {
    return 'private'
  }

  return special === 'unlimited relay' ? 'unlimited' : 'limited'
}

function cells ({ stack, latency, pair: [kindA, kindB, expected], runs, special, punches, simultaneousOpens }: Played): string[] {
  const direct = punches.filter(({ outcome }) => outcome === 'direct')
  const times = direct.map(({ time }) => time)

  return [
    stack,
    `${latency} ms`,
    kindA,
    kindB,
    special ?? '',
    expected,
    `${direct.length} of ${runs}`,
    `${simultaneousOpens}`,
    inMs(median(times)),
    inMs(Math.max(...times)),
    inMs(median(punches.flatMap(({ relayedRoundTrip = [] }) => relayedRoundTrip))),
    inMs(median(direct.flatMap(({ directRoundTrip = [] }) => directRoundTrip)))
  ]
}

function whatFailed ({ stack, latency, pair: [kindA, kindB, expected], special, punches, errors }: Played): string[] {
  const failures = punches.flatMap(({ outcome, mappings, failures }) => {
    const wrongMappings = [kindA, kindB].flatMap((kind, i) => {
      const mapping = EXPECTED_MAPPING[kind]
      const found = mappings[i].length > 0 || stack === 'stock libp2p' ? mappings[i] : ['like none']

      return mapping == null || found.every(looks => looks === mapping) ? [] : [`the mapping of ${kind} looks ${found.join()}`]
    })

    return [...failures, ...wrongMappings, ...(outcome === expected ? [] : [`${outcome}, not ${expected}`])]
  })

  return [...errors, ...failures].map(failure => `Failed with ${stack}, ${latency} ms, ${kindA} and ${kindB}${special == null ? '' : `, ${special}`}: ${failure}`)
}

/**
 * A time says more of the machine than of the code, so none fails the run
 */
function printTimes (played: Played[]): void {
  const times = played
    .filter(({ stack, latency, special, pair: [kindA, kindB] }) => stack === 'this package' && latency === LATENCY && special == null && isConePair(kindA, kindB))
    .flatMap(({ punches }) => punches)
    .flatMap(({ outcome, time }) => outcome === 'direct' ? time : [])
  const limit = MAX_ROUND_TRIPS * 2 * LATENCY
  const typical = median(times)
  const verdict = typical <= limit ? 'reached' : 'not reached'
  print(`Between cone NATs it took ${inMs(typical)} in the median, at worst ${inMs(Math.max(...times))}. The aim is ${inMs(limit)} in the median: ${verdict}`, '')
}
