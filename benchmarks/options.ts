import path from 'node:path'
import { parseArgs } from 'node:util'
import { ROWS } from './rows.ts'
import type { Row } from './row.ts'

export const DEFAULT_PAIRS = 5

export interface Options {
  rows: Row[]
  pairs: number

  /**
   * The Node to run on, if not this one
   */
  node?: string

  /**
   * The directory to write results to. A run of some rows or of few pairs has
   * none unless it is asked for, as it would take the place of a whole one
   */
  out?: string
}

export const USAGE = `Usage: npm run bench -- [--pairs N] [--node PATH] [--out DIRECTORY] [ROW…]

Rows: ${ROWS.map(({ name }) => name).join(' ')}

--pairs  how often ours and the peer are measured in turn (${DEFAULT_PAIRS})
--node   the Node to run on (the one that runs this)
--out    where results.json and results.svg go. Without, results of all rows and
         ${DEFAULT_PAIRS} pairs or more go to benchmarks/, others are only printed
`

/**
 * @throws {Error} if the arguments can't be used
 */
export function parseOptions (args: string[]): Options {
  const { values, positionals } = parseArgs({
    args,
    options: {
      pairs: { type: 'string', default: `${DEFAULT_PAIRS}` },
      node: { type: 'string' },
      out: { type: 'string' }
    },
    allowPositionals: true
  })
  const pairs = parsePairs(values.pairs)
  const unknown = positionals.filter(name => ROWS.every(row => row.name !== name))

  if (unknown.length > 0) {
    throw new Error(`There is no row ${unknown.join(', ')}`)
  }

  const isWhole = positionals.length === 0 && pairs >= DEFAULT_PAIRS
  const out = values.out ?? (isWhole ? import.meta.dirname : undefined)

  return {
    rows: positionals.length === 0 ? ROWS : ROWS.filter(({ name }) => positionals.includes(name)),
    pairs,
    node: values.node,
    out: out == null ? undefined : path.resolve(out)
  }
}

/**
 * @throws {Error} if it is not a number of pairs
 */
export function parsePairs (value: string): number {
  const pairs = Number(value)

  if (!Number.isInteger(pairs) || pairs < 1) {
    throw new Error(`${value} is no number of pairs`)
  }

  return pairs
}
