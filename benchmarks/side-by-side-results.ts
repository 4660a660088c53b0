import { readFileSync } from 'node:fs'
import { formatFigure } from './format.ts'
import { describeMachine, mapValues } from './results.ts'
import { median, quantile } from './statistics.ts'
import type { Samples } from './in-turn.ts'
import type { Implementation } from '../test/interop/implementations.ts'

/**
 * What is written to side-by-side.json
 */
export interface SideBySideResults {
  date: string
  machine: string
  node: string
  versions: { go: string, rust: string }
  pairs: number
  figures: FigureResult[]
}

export interface Figure {
  name: string
  title: string

  /**
   * None if the title has it
   */
  unit: string
}

export interface FigureResult extends Figure {
  samples: Partial<Record<Implementation, number[]>>
  medians: Partial<Record<Implementation, number>>

  /**
   * The distance between the quartiles, relative to the median: the largest of the
   * implementations
   */
  spread: number
}

export const SIDE_BY_SIDE_COLUMNS = ['', 'ours', 'go-libp2p', 'rust-libp2p', 'spread']

export function figureOf (figure: Figure, samples: Samples<Implementation>): FigureResult {
  const values = mapValues(samples, measurements => measurements.map(({ figures }) => figures[figure.name]))
  const spreads = Object.values(values).map(values => (quantile(values, 0.75) - quantile(values, 0.25)) / median(values))

  return { ...figure, samples: values, medians: mapValues(values, median), spread: Math.max(...spreads) }
}

/**
 * What was measured where, and against what
 */
export function describeSideBySide (): Pick<SideBySideResults, 'date' | 'machine' | 'node' | 'versions'> {
  return {
    ...describeMachine(),
    versions: {
      go: versionIn('go-peer/go.mod', /go-libp2p v(\S+)/),
      rust: versionIn('rust-peer/Cargo.lock', /name = "libp2p"\nversion = "(.+)"/)
    }
  }
}

/**
 * A row of the table
 */
export function sideBySideCells ({ title, unit, medians, spread }: FigureResult): string[] {
  return [
    title,
    formatFigure(medians.js, unit),
    formatFigure(medians.go, unit),
    formatFigure(medians.rust, unit),
    `${Math.ceil(spread * 100)} %`
  ]
}

function versionIn (file: string, pattern: RegExp): string {
  const version = pattern.exec(readFileSync(new URL(`../test/interop/${file}`, import.meta.url), 'utf-8'))?.[1]

  if (version == null) {
    throw new Error(`test/interop/${file} does not say which version it uses`)
  }

  return version
}
