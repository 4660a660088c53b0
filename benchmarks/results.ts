import { readFileSync } from 'node:fs'
import os from 'node:os'
import { median } from '../test/kit/statistics.ts'
import type { Figures } from './measure.ts'
import type { Metric } from './rows.ts'
import type { Implementation } from '../test/interop/implementations.ts'

/**
 * The content of results.json
 */
export interface Results {
  date: string
  machine: string
  node: string
  versions: Record<Exclude<Implementation, 'js'>, string>
  samples: Samples
}

/**
 * The measured values of each metric and contestant. Values with the same index were measured
 * directly one after the other
 */
export type Samples = Record<string, Partial<Record<Implementation, number[]>>>

export type Verdict = 'reached' | 'not reached' | 'too noisy'

/**
 * The verdict on a metric that has a target
 */
export interface Judged extends Metric {
  bar: number

  /**
   * The medians
   */
  ours: number
  theirs: number
  pairs: number

  /**
   * The ratio of these two medians, so that the three never contradict each other. Or our
   * figure alone
   */
  ratio: number

  /**
   * The range of the ratio, with a probability of about 95 %
   */
  range: [number, number]
  verdict: Verdict
}

/**
 * A range that is wider than this part of the ratio, and includes the target, proves nothing
 */
const WIDE = 0.2

export function addFigures (samples: Samples, contestant: Implementation, figures: Figures): void {
  for (const [name, figure] of Object.entries(figures)) {
    samples[name] ??= {}
    samples[name][contestant] = [...samples[name][contestant] ?? [], figure]
  }
}

/**
 * Returns nothing if the metric was not measured, or has no target
 */
export function judge (metric: Metric, samples: Samples): Judged | undefined {
  const { js = [], '@libp2p/tcp': tcp = [] } = samples[metric.name] ?? {}
  const { bar } = metric

  if (bar == null || js.length === 0 || tcp.length === 0) {
    return
  }

  const [ours, theirs] = [median(js), median(tcp)]
  const ratio = metric.alone === true ? ours : ours / theirs
  // a change on the machine between two pairs does not affect the ratio of a pair
  const ratios = metric.alone === true ? js : tcp.map((figure, i) => js[i] / figure)
  const [low, high] = rangeOfMedian(ratios)
  const range: [number, number] = [Math.min(low, ratio), Math.max(high, ratio)]

  return { ...metric, bar, ours, theirs, pairs: ratios.length, ratio, range, verdict: verdictOf(metric.better, bar, ratio, range) }
}

function verdictOf (better: Metric['better'], bar: number, ratio: number, [low, high]: [number, number]): Verdict {
  if (low < bar && high > bar && high - low > WIDE * ratio) {
    return 'too noisy'
  }

  return (better === 'higher' ? ratio >= bar : ratio <= bar) ? 'reached' : 'not reached'
}

/**
 * The range of the true median with a probability of about 95 %, for any distribution. Each
 * value is above the true median with a probability of one half. With 5 values, the range is
 * from the smallest to the largest
 */
export function rangeOfMedian (values: number[]): [number, number] {
  const sorted = values.toSorted((a, b) => a - b)
  const cut = Math.max(0, Math.floor(sorted.length / 2 - 0.98 * Math.sqrt(sorted.length)))

  return [sorted[cut], sorted[sorted.length - 1 - cut]]
}

/**
 * The versions and the machine of this run
 */
export function describeRun (): Omit<Results, 'samples'> {
  const cpus = os.cpus()

  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus.length} × ${cpus[0]?.model ?? os.arch()}, ${os.type()} ${os.release()}`,
    node: process.version.slice(1),
    versions: {
      '@libp2p/tcp': versionIn('node_modules/@libp2p/tcp/package.json', /"version": "(.+)"/),
      go: versionIn('test/interop/go-peer/go.mod', /go-libp2p v(\S+)/),
      rust: versionIn('test/interop/rust-peer/Cargo.lock', /name = "libp2p"\nversion = "(.+)"/)
    }
  }
}

function versionIn (file: string, pattern: RegExp): string {
  const version = pattern.exec(readFileSync(new URL(`../${file}`, import.meta.url), 'utf-8'))?.[1]

  if (version == null) {
    throw new Error(`${file} does not say which version it is`)
  }

  return version
}
