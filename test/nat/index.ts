/**
 * Whole nodes in a lab of network namespaces, with a path between them that takes
 * its time, and NATs. Linux and root only.
 *
 * - `npm run test:nat`
 * - `npm run test:nat -- mutual-dials`, or `hole-punching`, `ended-punches`, `other-nets`,
 * `discovery`: this part only
 * - `npm run test:nat -- --runs 20`: so many runs for each pair of NATs, other net, or
 * pair of ends
 * - `npm run test:nat -- --rounds 100 --latency 10 --latency 100`: more rounds, at
 * these one-way latencies (in ms)
 * - `npm run test:nat -- hole-punching --loss 3 --jitter 20`: only on a network that
 * loses 3 % of the frames and delays the others by up to 20 ms more. With `--seed` and
 * the number that a run has printed, it meets the same on each TCP connection again
 * - `npm run test:nat -- hole-punching --drop punch-ack`, or `first-syn-to-relay`,
 * `punch-ack-and-syn-ack`, `punch-syn-ack-and-ack`: only with these frames lost
 * - `npm run test:nat -- hole-punching --far`: only over 300 ms one way
 * - `npm run test:nat -- discovery --forward`: only a symmetric NAT with a forwarded port,
 * and one without
 * - `npm run test:nat -- discovery --transport '@libp2p/tcp'`: what stock
 * libp2p does
 */

import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { choose, parseCount, parseOrExit } from '../kit/arguments.ts'
import { end, requireLab } from '../lab/requirements.ts'
import { testDiscovery } from './discovery.ts'
import { testEndedPunches } from './ended-punches.ts'
import { testHolePunching } from './hole-punching.ts'
import { testDrops, testLossyPunches } from './lossy-punches.ts'
import { testMutualDials } from './mutual-dials.ts'
import { testOtherNets } from './other-nets.ts'
import type { TransportName } from './discovering-peer.ts'
import type { DropName } from './lossy-punches.ts'

const PARTS = ['mutual-dials', 'hole-punching', 'ended-punches', 'other-nets', 'discovery']
const TRANSPORTS: TransportName[] = ['reuseportTcp', '@libp2p/tcp']
const DROPS: DropName[] = ['first-syn-to-relay', 'punch-ack', 'punch-ack-and-syn-ack', 'punch-syn-ack-and-ack']

/**
 * The parts that options are for, if not for several
 */
const PART_OF = { loss: 'hole-punching', jitter: 'hole-punching', seed: 'hole-punching', drop: 'hole-punching', far: 'hole-punching', forward: 'discovery', transport: 'discovery' }

/**
 * What a network loses, in percent, and how much longer it takes, in ms, if nothing
 * else is asked for
 */
const LOSS = 3
const JITTER = 20

/**
 * How far away a far peer is, in ms one way
 */
const FAR = 300

/**
 * How many runs or rounds there are if no number is asked for
 */
const NAT_PAIRS = 3
const OTHER_NETS = 1
const ENDED_PUNCHES = 1
const MUTUAL_DIALS = 20
const LOSSY_PUNCHES = 8
const DROPPED_FRAMES = 2
const FAR_PUNCHES = 2

const MAX_SEED = 2 ** 32

const { parts, runs, rounds, latencies, loss, jitter, seed, drops, far, forward, transport } = parseOrExit(() => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      runs: { type: 'string' },
      rounds: { type: 'string' },
      latency: { type: 'string', multiple: true, default: ['20'] },
      loss: { type: 'string' },
      jitter: { type: 'string' },
      seed: { type: 'string' },
      drop: { type: 'string', multiple: true },
      far: { type: 'boolean' },
      forward: { type: 'boolean' },
      transport: { type: 'string' }
    }
  })
  const parts = choose(positionals, PARTS)

  for (const [name, part] of Object.entries(PART_OF)) {
    if (name in values && !parts.includes(part)) {
      throw new Error(`--${name} is for ${part}`)
    }
  }

  return {
    parts,
    runs: parseIfGiven('--runs', values.runs),
    rounds: parseIfGiven('--rounds', values.rounds),
    latencies: values.latency.map(value => parseCount('--latency', value)),
    loss: parseAmount('--loss', values.loss, 100),
    jitter: parseAmount('--jitter', values.jitter, Infinity),
    seed: parseAmount('--seed', values.seed, MAX_SEED) ?? randomInt(MAX_SEED),
    drops: values.drop == null ? undefined : choose(values.drop, DROPS),
    far: values.far === true,
    forward: values.forward === true,
    transport: choose([values.transport ?? 'reuseportTcp'], TRANSPORTS)[0]
  }
})

await requireLab()

const failures: string[] = []

if (parts.includes('mutual-dials')) {
  failures.push(...await testMutualDials(latencies, rounds ?? MUTUAL_DIALS))
}

if (parts.includes('hole-punching')) {
  const isLossy = loss != null || jitter != null
  const all = !isLossy && !far && drops == null

  if (all) {
    failures.push(...await testHolePunching(runs ?? NAT_PAIRS))
  }

  if (all || isLossy) {
    for (const latency of latencies) {
      const weather = all ? { loss: LOSS, jitter: JITTER } : { loss: loss ?? 0, jitter: jitter ?? 0 }
      failures.push(...await testLossyPunches({ latency, seed, ...weather }, rounds ?? LOSSY_PUNCHES))
    }
  }

  if (all || far) {
    failures.push(...await testLossyPunches({ latency: FAR, seed, loss: 0, jitter: 0 }, rounds ?? FAR_PUNCHES))
  }

  if (all || drops != null) {
    failures.push(...await testDrops(drops ?? DROPS, rounds ?? DROPPED_FRAMES))
  }
}

if (parts.includes('ended-punches')) {
  failures.push(...await testEndedPunches(runs ?? ENDED_PUNCHES))
}

if (parts.includes('other-nets')) {
  failures.push(...await testOtherNets(runs ?? OTHER_NETS))
}

if (parts.includes('discovery')) {
  failures.push(...await testDiscovery(transport, forward))
}

end(failures)

function parseIfGiven (name: string, value?: string): number | undefined {
  return value == null ? undefined : parseCount(name, value)
}

/**
 * @throws {Error} if it is not a number from 0 to `max`
 */
function parseAmount (name: string, value: string | undefined, max: number): number | undefined {
  const amount = value == null || value.trim() === '' ? NaN : Number(value)

  if (value != null && !(amount >= 0 && amount <= max && amount < Infinity)) {
    throw new Error(`${name} must be a number from 0${max === Infinity ? '' : ` to ${max}`}, not '${value}'`)
  }

  return value == null ? undefined : amount
}
