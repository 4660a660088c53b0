import { readFileSync } from 'node:fs'
import os from 'node:os'
import { median, quantile } from './statistics.ts'
import type { Samples } from './in-turn.ts'
import type { Contestant, DialCost, Metric } from './row.ts'

export type Verdict = 'ok' | 'not reached' | 'too noisy'

/**
 * What is written to results.json
 */
export interface Results {
  date: string
  machine: string
  node: string
  peer: string
  pairs: number
  metrics: MetricResult[]

  /**
   * Medians over the pairs
   */
  dialCost?: Partial<Record<Contestant, DialCost[]>>
}

export interface MetricResult extends Metric {
  samples: Partial<Record<Contestant, number[]>>
  medians: Partial<Record<Contestant, number>>

  /**
   * The median of the pairwise ratios: what is held against the bar
   */
  ratio: number
  quartiles: [number, number]

  /**
   * The distance between the quartiles, relative to the median
   */
  spread: number
  verdict: Verdict

  /**
   * The median of ours divided by raw
   */
  ofRaw?: number
}

/**
 * With a larger spread than this, a bar between the quartiles is neither reached
 * nor missed
 */
const SPREAD_LIMIT = 0.1

export function resultOf (metric: Metric, samples: Samples): MetricResult {
  const figures = mapValues(samples, measurements => measurements.map(measurement => measurement.figures[metric.name]))
  const { ours = [], peer = [], raw } = figures
  const ratios = metric.judged === 'ours' ? ours : pairwise(ours, peer)
  const ratio = median(ratios)
  const quartiles: [number, number] = [quantile(ratios, 0.25), quantile(ratios, 0.75)]
  const spread = (quartiles[1] - quartiles[0]) / ratio

  return {
    ...metric,
    samples: figures,
    medians: mapValues(figures, median),
    ratio,
    quartiles,
    spread,
    verdict: judge(metric, ratio, quartiles, spread),
    ofRaw: raw == null ? undefined : median(pairwise(ours, raw))
  }
}

/**
 * Medians of what the measurements found, if they found any
 */
export function dialCostOf (samples: Samples): Results['dialCost'] {
  const found = mapValues(samples, measurements => measurements.map(({ dialCost }) => dialCost).filter(dialCost => dialCost != null))

  if (found.ours == null || found.ours.length === 0) {
    return
  }

  return mapValues(found, dialCosts => dialCosts[0].map(([live], i) => [live, median(dialCosts.map(dialCost => dialCost[i][1]))]))
}

/**
 * What was measured where, and against what
 */
export function describeRun (): Pick<Results, 'date' | 'machine' | 'node' | 'peer'> {
  const { version } = JSON.parse(readFileSync(new URL('../node_modules/@libp2p/tcp/package.json', import.meta.url), 'utf-8'))

  return { ...describeMachine(), peer: `@libp2p/tcp ${version}` }
}

export function describeMachine (): Pick<Results, 'date' | 'machine' | 'node'> {
  const cpus = os.cpus()

  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus.length} × ${cpus[0]?.model ?? os.arch()}, ${os.type()} ${os.release()}`,
    node: process.version
  }
}

function judge ({ better, bar }: Metric, ratio: number, [low, high]: [number, number], spread: number): Verdict {
  if (spread > SPREAD_LIMIT && low < bar && high > bar) {
    return 'too noisy'
  }

  return (better === 'higher' ? ratio >= bar : ratio <= bar) ? 'ok' : 'not reached'
}

function pairwise (ours: number[], others: number[]): number[] {
  return ours.map((figure, i) => figure / others[i])
}

export function mapValues <K extends string, T, R> (object: Partial<Record<K, T>>, map: (value: T) => R): Partial<Record<K, R>> {
  return Object.fromEntries(Object.entries<T>(object as Record<K, T>).map(([key, value]) => [key, map(value)])) as Partial<Record<K, R>>
}
