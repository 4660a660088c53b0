/**
 * Measures this transport next to `@libp2p/tcp`, in turn, on loopback: where the figures of
 * README.md and docs/performance.md come from. It needs Linux. A run of all rows with at least 5
 * pairs writes them, the chart, and results.json. Any other run only prints. The exit code is 1 if
 * a measurement failed.
 *
 * - `npm run bench`
 * - `npm run bench -- --rows dials,send`: all rows whose names begin with one of these words
 * - `npm run bench -- --pairs 9`: more pairs
 * - `npm run bench -- --write`: measures nothing, and writes the chart and the documents from
 * results.json
 * - `npm run bench -- --check`: measures nothing, and fails if a written file does not match
 * results.json
 */

import { parseArgs } from 'node:util'
import { parseCount, parseOrExit } from '../test/kit/arguments.ts'
import { print } from '../test/kit/print.ts'
import { check, read, write } from './documents.ts'
import { formatRun, formatTables } from './report.ts'
import { ENOUGH_PAIRS, describeRun, measureInTurn } from './results.ts'
import { ROWS } from './rows.ts'
import type { Results } from './results.ts'
import type { Row } from './rows.ts'

const options = parseOrExit(() => {
  const { values } = parseArgs({
    options: {
      rows: { type: 'string', default: '' },
      pairs: { type: 'string', default: `${ENOUGH_PAIRS}` },
      write: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false }
    }
  })

  return { ...values, pairs: parseCount('--pairs', values.pairs), rows: rowsNamed(values.rows) }
})

if (options.check) {
  fail(check().map(file => `${file} does not say what is in benchmarks/results.json`))
} else if (options.write) {
  print(`Written: ${write(read()).join(', ')}`)
} else {
  await run(options.rows, options.pairs)
}

async function run (rows: Row[], pairs: number): Promise<void> {
  const results: Results = { ...describeRun(), samples: {} }
  const failures: string[] = []

  for (const row of rows) {
    process.stdout.write(`${row.name}: `)

    try {
      Object.assign(results.samples, await measureInTurn(row, pairs, () => { process.stdout.write('.') }))
    } catch (err: any) {
      failures.push(`FAILED: ${row.name}, ${err.message}`)
    }

    print('')
  }

  print('', formatRun(results), '', formatTables(results), '')

  if (failures.length === 0 && rows.length === ROWS.length && pairs >= ENOUGH_PAIRS) {
    print(`Written: ${write(results).join(', ')}`)
  }

  fail(failures)
}

/**
 * Returns all rows if none is named
 *
 * @throws {Error} if no row has this name
 */
function rowsNamed (names: string): Row[] {
  const named = names.split(',').map(prefix => ROWS.filter(({ name }) => name.startsWith(prefix)))

  if (named.some(rows => rows.length === 0)) {
    throw new Error(`--rows are some of ${ROWS.map(({ name }) => name).join(', ')}, not ${names}`)
  }

  return ROWS.filter(row => named.flat().includes(row))
}

function fail (reasons: string[]): void {
  if (reasons.length > 0) {
    print(...reasons)
    process.exitCode = 1
  }
}
