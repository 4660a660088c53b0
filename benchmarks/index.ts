/**
 * Measures this transport next to `@libp2p/tcp`, in turn, on loopback: where the figures of
 * README.md and docs/performance.md come from. It needs Linux. The last row, `punch`, is not
 * compared with anything, and needs root: it is played in the lab of network namespaces. A run of
 * all rows with at least 5 pairs writes the figures, the chart, and results.json. Any other run only
 * prints. The exit code is 1 if a measurement failed.
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
import { requireLab } from '../test/lab/requirements.ts'
import { check, read, write } from './documents.ts'
import { measurePunch } from './punch.ts'
import { formatRun, formatTables } from './report.ts'
import { ENOUGH_PAIRS, describeRun, measureInTurn } from './results.ts'
import { ROWS } from './rows.ts'
import type { Results } from './results.ts'

const NAMES = [...ROWS.map(({ name }) => name), 'punch']

const options = parseOrExit(() => {
  const { values } = parseArgs({
    options: {
      rows: { type: 'string', default: '' },
      pairs: { type: 'string', default: `${ENOUGH_PAIRS}` },
      write: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false }
    }
  })

  return { ...values, pairs: parseCount('--pairs', values.pairs), names: namesOf(values.rows) }
})

if (options.check) {
  fail(check().map(file => `${file} does not say what is in benchmarks/results.json`))
} else if (options.write) {
  print(`Written: ${write(read()).join(', ')}`)
} else {
  if (options.names.includes('punch')) {
    await requireLab()
  }

  await run(options.names, options.pairs)
}

async function run (names: string[], pairs: number): Promise<void> {
  const results: Results = { ...describeRun(), samples: {} }
  const failures: string[] = []

  for (const name of names) {
    const row = ROWS.find(row => row.name === name)
    const onMeasure = (): void => { process.stdout.write('.') }
    process.stdout.write(`${name}: `)

    try {
      if (row == null) {
        results.punch = await measurePunch(onMeasure)
      } else {
        Object.assign(results.samples, await measureInTurn(row, pairs, onMeasure))
      }
    } catch (err: any) {
      failures.push(`FAILED: ${name}, ${err.message}`)
    }

    print('')
  }

  print('', formatRun(results), '', formatTables(results), '')

  if (failures.length === 0 && names.length === NAMES.length && pairs >= ENOUGH_PAIRS) {
    print(`Written: ${write(results).join(', ')}`)
  }

  fail(failures)
}

/**
 * Returns all rows if none is named
 *
 * @throws {Error} if no row has this name
 */
function namesOf (prefixes: string): string[] {
  const named = prefixes.split(',').map(prefix => NAMES.filter(name => name.startsWith(prefix)))

  if (named.some(names => names.length === 0)) {
    throw new Error(`--rows are some of ${NAMES.join(', ')}, not ${prefixes}`)
  }

  return NAMES.filter(name => named.flat().includes(name))
}

function fail (reasons: string[]): void {
  if (reasons.length > 0) {
    print(...reasons)
    process.exitCode = 1
  }
}
