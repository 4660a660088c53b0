import { readFileSync } from 'node:fs'
import os from 'node:os'
import { median } from '../test/kit/statistics.ts'
import { CONTESTANTS, WARM_UP } from './measure.ts'
import { cpuOf } from './rows.ts'
import type { Contestant } from './measure.ts'
import type { PunchTimes } from './punch.ts'
import type { Metric, Row } from './rows.ts'

/** The content of results.json */
export interface Results {
  date: string
  machine: string
  node: string

  /** Of `@libp2p/tcp` */
  version: string
  warmUp: typeof WARM_UP
  samples: Samples

  /** Not in a run of other rows only */
  punch?: PunchTimes
}

/**
 * The measured values of each metric and contestant. Values with the same index were measured
 * directly one after the other
 */
export type Samples = Record<string, Record<Contestant, number[]>>

export type Verdict = 'better' | 'equal' | 'worse' | 'not known'

/** The pairs of measurements of one figure: ours and that of `@libp2p/tcp` */
export interface Compared {
  /** The medians. They show the size of the figures, and nothing is concluded from them */
  ours: number
  theirs: number

  /**
   * The median of the ratios of the pairs, ours divided by theirs, and the range of that median
   * with a probability of about 95 %. Rounded to hundredths, to our disadvantage
   */
  ratio: number
  range: [number, number]
  pairs: number

  /** In how many pairs our figure is the worse one */
  lost: number
  verdict: Verdict
}

export interface Judged extends Metric {
  figure: Compared

  /** The CPU time of both ends for each operation, if it was measured */
  cpu?: Compared
  verdict: Verdict
}

/** With fewer pairs there is no range of 95 % */
export const ENOUGH_PAIRS = 5

/** If 1 is in the range, and the range goes no further than this, the figures are equal */
const EQUAL = 0.05

/**
 * If the pairs of a row leave open what is better, so many times as many are measured. It is
 * decided once: who measures until a result appears finds one
 */
const MORE = 2

/**
 * Measures the contestants in turn, every other time in reverse order. So a change on the
 * machine affects both
 *
 * @throws {Error} if a measurement fails
 */
export async function measureInTurn ({ measure, metrics: [first] }: Row, pairs: number, onMeasure: () => void): Promise<Samples> {
  const samples: Samples = {}
  let wanted = pairs

  for (let pair = 0; pair < wanted; pair++) {
    for (const contestant of pair % 2 === 0 ? CONTESTANTS : CONTESTANTS.toReversed()) {
      onMeasure()

      for (const [name, figure] of Object.entries(await measure(contestant))) {
        samples[name] ??= { ours: [], '@libp2p/tcp': [] }
        samples[name][contestant].push(figure)
      }
    }

    const judged = judge(first, samples)

    if (pair + 1 === pairs && judged != null && isNoisy(judged)) {
      wanted = MORE * pairs
    }
  }

  return samples
}

/** Returns nothing if the metric was not measured */
export function judge (metric: Metric, samples: Samples): Judged | undefined {
  const figure = compare(metric.better, samples[metric.name])
  const cpu = compare('lower', samples[cpuOf(metric)])

  return figure == null ? undefined : { ...metric, figure, cpu, verdict: verdictOf(figure, cpu) }
}

/** The ratio of each pair counts. A change on the machine between two pairs does not affect it */
export function compare (better: Metric['better'], { ours = [], '@libp2p/tcp': theirs = [] }: Partial<Samples[string]> = {}): Compared | undefined {
  const ratios = theirs.slice(0, ours.length).map((figure, i) => ours[i] / figure)

  if (ratios.length === 0) {
    return
  }

  const lost = ratios.filter(ratio => better === 'higher' ? ratio < 1 : ratio > 1).length
  const [ratio, low, high] = [median(ratios), ...rangeOfMedian(ratios)].map(ratio => rounded(better, ratio))
  const compared = { ours: median(ours), theirs: median(theirs), ratio, range: [low, high] as [number, number], pairs: ratios.length, lost }

  if (isWorse(compared)) {
    return { ...compared, verdict: 'worse' }
  }

  return { ...compared, verdict: ratios.length < ENOUGH_PAIRS ? 'not known' : verdictOfRange(compared) }
}

/** Do the measurements leave open what is better? */
function isNoisy ({ figure, cpu }: Judged): boolean {
  return [figure, cpu].every(compared => compared == null || verdictOfRange(compared) === 'not known')
}

/**
 * CPU time is judged first, as the clock also measures what else runs on the machine. But if
 * the two name different winners, nothing good is concluded
 */
function verdictOf (figure: Compared, cpu?: Compared): Verdict {
  if (cpu == null || isWorse(figure)) {
    return figure.verdict
  }

  if (isWorse(cpu)) {
    return 'not known'
  }

  return cpu.verdict === 'not known' ? figure.verdict : cpu.verdict
}

/** Most pairs are lost, even if by little */
function isWorse ({ lost, pairs }: Pick<Compared, 'lost' | 'pairs'>): boolean {
  return lost > pairs / 2
}

function verdictOfRange ({ range: [low, high] }: Pick<Compared, 'range'>): Verdict {
  if (low > 1 || high < 1) {
    return 'better'
  }

  return low >= 1 - EQUAL && high <= 1 + EQUAL ? 'equal' : 'not known'
}

function rounded (better: Metric['better'], ratio: number): number {
  // an error of binary fractions must not round the ratio to the next hundredth
  const hundredths = Number((ratio * 100).toFixed(6))

  return (better === 'higher' ? Math.floor(hundredths) : Math.ceil(hundredths)) / 100
}

/**
 * The range of the true median with a probability of about 95 %, for any distribution. Each
 * value is above the true median with a probability of one half. With 5 values, the range is
 * from the smallest to the largest
 */
function rangeOfMedian (values: number[]): [number, number] {
  const sorted = values.toSorted((a, b) => a - b)
  const cut = Math.max(0, Math.floor(sorted.length / 2 - 0.98 * Math.sqrt(sorted.length)))

  return [sorted[cut], sorted[sorted.length - 1 - cut]]
}

/** The versions and the machine of this run */
export function describeRun (): Omit<Results, 'samples'> {
  const cpus = os.cpus()

  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus.length} × ${cpus[0]?.model ?? os.arch()}, ${os.type()} ${os.release()}`,
    node: process.version.slice(1),
    version: JSON.parse(readFileSync(new URL('../node_modules/@libp2p/tcp/package.json', import.meta.url), 'utf-8')).version,
    warmUp: WARM_UP
  }
}
