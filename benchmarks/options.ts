import path from 'node:path'
import { parseArgs } from 'node:util'
import { choose, parseCount } from '../test/fixtures/arguments.ts'
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
  const pairs = parseCount('--pairs', values.pairs)
  const names = choose(positionals, ROWS.map(({ name }) => name))
  const isWhole = positionals.length === 0 && pairs >= DEFAULT_PAIRS
  const out = values.out ?? (isWhole ? import.meta.dirname : undefined)

  return {
    rows: ROWS.filter(({ name }) => names.includes(name)),
    pairs,
    node: values.node,
    out: out == null ? undefined : path.resolve(out)
  }
}
