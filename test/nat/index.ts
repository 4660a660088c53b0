/**
 * Whole nodes in a lab of network namespaces, with a path between them that takes
 * its time, and NATs. Linux and root only.
 *
 * - `npm run test:nat`
 * - `npm run test:nat -- mutual-dials`, or another part, or several: only these. The parts are
 * `mutual-dials`, `hole-punching` (pairs of NATs), `lossy`, `far`, `drops`, `ended-punches`, `counting`,
 * `other-nets`,
 * `roam`, `forward`, `discovery`. `-- --far` does the same as `-- far`
 * - `npm run test:nat -- --rounds 20`: so many rounds of each
 * - `npm run test:nat -- mutual-dials --latency 10 --latency 100`: at these one-way latencies
 * (in ms), also for `lossy`
 * - `npm run test:nat -- --loss 5 --jitter 30 --latency 150`: only on a network that
 * loses 5 % of the frames and delays the others by 150 ms and up to 30 ms more. With `--seed` and
 * the number that a run has printed, it meets the same on each TCP connection again
 * - `npm run test:nat -- --drop punch-ack`, or another name in `DROPS`: only with these frames lost
 * - `npm run test:nat -- discovery --transport '@libp2p/tcp'`: what stock libp2p does
 */

import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import pMap from 'p-map'
import { choose, parseCount, parseOrExit } from '../kit/arguments.ts'
import { print } from '../kit/print.ts'
import { end, requireLab } from '../lab/requirements.ts'
import { FORWARDED, SETTINGS, testDiscovery } from './discovery.ts'
import { testEndedPunches } from './ended-punches.ts'
import { testHolePunching } from './hole-punching.ts'
import { testMutualDials } from './mutual-dials.ts'
import { otherNets } from './other-nets.ts'
import { testRoaming } from './roam.ts'
import { DROPS, counting, dropped, far, lossy, natPairs } from './scenes.ts'
import type { Implementation } from '../interop/implementations.ts'

const TRANSPORTS: Implementation[] = ['js', '@libp2p/tcp']

/** How many parts are played at a time. Most of them wait most of the time */
const PARTS_AT_ONCE = 2

/** How many scenes are played at a time. Fewer where the time that a punch takes is of interest */
const CONCURRENCY = 4
const FEW = 2

/**
 * What a network loses, in percent, and how much longer it takes, in ms, if nothing
 * else is asked for: near and farther away
 */
const WEATHER = [{ latency: 20, loss: 3, jitter: 20 }, { latency: 150, loss: 5, jitter: 30 }]

const MAX_SEED = 2 ** 32

const PARTS: Record<string, () => Promise<string[]>> = {
  'mutual-dials': async () => testMutualDials(latencies, rounds ?? 10),
  'hole-punching': async () => testHolePunching(natPairs(rounds ?? 3), FEW),
  lossy: async () => testHolePunching(weather().map(each => lossy(each.latency, each, rounds ?? 8)), CONCURRENCY),
  far: async () => testHolePunching([far(rounds ?? 2)], FEW),
  drops: async () => testHolePunching(dropped(drops, rounds ?? 2), CONCURRENCY),
  'ended-punches': async () => testEndedPunches(rounds ?? 1),
  counting: async () => testHolePunching(counting(rounds ?? 4), CONCURRENCY),
  'other-nets': async () => testHolePunching(otherNets(rounds ?? 1), CONCURRENCY),
  roam: testRoaming,
  forward: async () => testDiscovery(transport, FORWARDED),
  discovery: async () => testDiscovery(transport, SETTINGS)
}

const { parts, rounds, latencies, loss, jitter, seed, drops, transport } = parseOrExit(() => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      ...Object.fromEntries(Object.keys(PARTS).map(name => [name, { type: 'boolean' as const }])),
      rounds: { type: 'string' },
      latency: { type: 'string', multiple: true, default: ['20'] },
      loss: { type: 'string' },
      jitter: { type: 'string' },
      seed: { type: 'string' },
      drop: { type: 'string', multiple: true },
      transport: { type: 'string' }
    }
  })
  const isLossy = values.loss != null || values.jitter != null
  const named = [...positionals, ...Object.keys(values).filter(name => name in PARTS)]
  const implied = [...(isLossy ? ['lossy'] : []), ...(values.drop == null ? [] : ['drops']), ...(values.transport == null ? [] : ['discovery'])]

  return {
    parts: choose([...named, ...implied], Object.keys(PARTS)),
    rounds: values.rounds == null ? undefined : parseCount('--rounds', values.rounds),
    latencies: values.latency.map(value => parseCount('--latency', value)),
    loss: parseAmount('--loss', values.loss, 100),
    jitter: parseAmount('--jitter', values.jitter, Infinity),
    seed: parseAmount('--seed', values.seed, MAX_SEED) ?? randomInt(MAX_SEED),
    drops: choose(values.drop ?? [], Object.keys(DROPS)),
    transport: choose([values.transport ?? TRANSPORTS[0]], TRANSPORTS)[0]
  }
})

await requireLab()

print(`${parts.join(', ')}. This may take minutes`, '')

const failures = await pMap(parts, async part => {
  const start = Date.now()
  const failed = await PARTS[part]()
  print(`That was ${part}, in ${Math.round((Date.now() - start) / 1_000)} s`, '')

  return failed
}, { concurrency: PARTS_AT_ONCE })

end(failures.flat())

/** As asked for, or the usual ones */
function weather (): Array<Parameters<typeof lossy>[1] & { latency: number }> {
  const asked = loss == null && jitter == null ? WEATHER : latencies.map(latency => ({ latency, loss: loss ?? 0, jitter: jitter ?? 0 }))

  return asked.map(each => ({ ...each, seed }))
}

/** @throws {Error} if it is not a number from 0 to `max` */
function parseAmount (name: string, value: string | undefined, max: number): number | undefined {
  const amount = value == null || value.trim() === '' ? NaN : Number(value)

  if (value != null && !(amount >= 0 && amount <= max && amount < Infinity)) {
    throw new Error(`${name} must be a number from 0${max === Infinity ? '' : ` to ${max}`}, not '${value}'`)
  }

  return value == null ? undefined : amount
}
