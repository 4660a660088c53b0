import { readFileSync } from 'node:fs'
import os from 'node:os'
import { median } from '../test/kit/statistics.ts'
import type { Figures } from './measure.ts'
import type { Metric } from './rows.ts'
import type { Implementation } from '../test/interop/implementations.ts'

/**
 * What is written to results.json
 */
export interface Results {
  date: string
  machine: string
  node: string
  versions: Record<Exclude<Implementation, 'js'>, string>
  samples: Samples
}

/**
 * Of each metric and contestant, what was measured. Those of one index were measured one
 * right after the other
 */
export type Samples = Record<string, Partial<Record<Implementation, number[]>>>

export type Verdict = 'reached' | 'not reached' | 'too noisy'

/**
 * What became of a metric that is held against a bar
 */
export interface Judged extends Metric {
  bar: number

  /**
   * Medians
   */
  ours: number
  theirs: number
  pairs: number

  /**
   * Of these two, so that they never contradict each other; or ours alone
   */
  ratio: number

  /**
   * Where it is with a probability of about 95 %
   */
  range: [number, number]
  verdict: Verdict
}

/**
 * A range that is wider than this part of the ratio, and has the bar in it, says nothing
 */
const WIDE = 0.2

export function addFigures (samples: Samples, contestant: Implementation, figures: Figures): void {
  for (const [name, figure] of Object.entries(figures)) {
    samples[name] ??= {}
    samples[name][contestant] = [...samples[name][contestant] ?? [], figure]
  }
}

/**
 * Returns nothing if it was not measured, or is not held against anything
 */
export function judge (metric: Metric, samples: Samples): Judged | undefined {
  const { js = [], '@libp2p/tcp': tcp = [] } = samples[metric.name] ?? {}
  const { bar } = metric

  if (bar == null || js.length === 0 || tcp.length === 0) {
    return
  }

  const [ours, theirs] = [median(js), median(tcp)]
  const ratio = metric.alone === true ? ours : ours / theirs
  // what changed on the machine between two pairs is not in the ratio of a pair
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
 * Between which of the values the median of infinitely many would be, with a probability of
 * about 95 %, whatever their distribution. Each is above it as often as a coin shows heads:
 * of 5 values, it is all of them
 */
export function rangeOfMedian (values: number[]): [number, number] {
  const sorted = values.toSorted((a, b) => a - b)
  const cut = Math.max(0, Math.floor(sorted.length / 2 - 0.98 * Math.sqrt(sorted.length)))

  return [sorted[cut], sorted[sorted.length - 1 - cut]]
}

/**
 * What is measured where, and against what
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
