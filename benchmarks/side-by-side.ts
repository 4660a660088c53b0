/**
 * Measures this transport, go-libp2p's and rust-libp2p's in turn, on loopback, with the
 * peers of test/interop, which need `go` and `cargo`. The exit code is 1 if one of them
 * did not do its work.
 *
 * - `npm run bench:side-by-side`
 * - `npm run bench:side-by-side -- --pairs 9`: more often in turn. With fewer than 5 the
 * results are only printed
 */

import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { print } from '../examples/ports/print.ts'
import { formatTable } from '../examples/ports/table.ts'
import { parseCount } from '../test/fixtures/arguments.ts'
import { IMPLEMENTATIONS, build } from '../test/interop/implementations.ts'
import { measureInTurn } from './in-turn.ts'
import { DEFAULT_PAIRS } from './options.ts'
import { showProgress } from './progress.ts'
import { measureConnections, measureHeld, measureRawDials } from './rows/side-by-side.ts'
import { SIDE_BY_SIDE_COLUMNS, describeSideBySide, figureOf, sideBySideCells } from './side-by-side-results.ts'
import type { Turns } from './in-turn.ts'
import type { MeasureImplementation } from './rows/side-by-side.ts'
import type { Figure, SideBySideResults } from './side-by-side-results.ts'
import type { Implementation } from '../test/interop/implementations.ts'

interface Row extends Turns<Implementation> {
  figures: Figure[]
}

const OUT = new URL('./side-by-side.json', import.meta.url)
const CONTESTANTS = Object.keys(IMPLEMENTATIONS) as Implementation[]

const ROWS: Row[] = [
  row('dial', measureRawDials, [
    { name: 'dial-rate', title: 'dials without an upgrade', unit: '/s' },
    { name: 'dial-cpu', title: 'CPU of one, in µs', unit: '' }
  ]),
  row('connect', measureConnections, [
    { name: 'connect-rate', title: 'connections with noise and yamux', unit: '/s' },
    { name: 'connect-cpu', title: 'CPU of one, in µs', unit: '' }
  ]),
  row('hold', measureHeld, [
    { name: 'memory', title: 'memory of one', unit: 'B' }
  ])
]

process.once('SIGINT', () => { process.exit(130) })

try {
  const { values } = parseArgs({ options: { pairs: { type: 'string', default: `${DEFAULT_PAIRS}` } } })
  await run(parseCount('--pairs', values.pairs))
} catch (err: any) {
  process.stderr.write(`\nFAILED: ${err.message}\n`)
  process.exitCode = 1
}

async function run (pairs: number): Promise<void> {
  const results: SideBySideResults = { ...describeSideBySide(), pairs, figures: [] }

  print('Building the peers. The first time this takes minutes')

  for (const implementation of CONTESTANTS) {
    await build(implementation)
  }

  const progress = showProgress(pairs * ROWS.length * CONTESTANTS.length)

  for (const row of ROWS) {
    const samples = await measureInTurn(row, pairs, (contestant, pair) => { progress.next(`${row.name}, pair ${pair + 1}, ${contestant}`) })
    results.figures.push(...row.figures.map(figure => figureOf(figure, samples)))
  }

  progress.end()
  print(
    `${results.machine}, Node ${results.node}, go-libp2p ${results.versions.go}, rust-libp2p ${results.versions.rust}, ${pairs} times in turn`,
    '',
    ...formatTable([{ columns: SIDE_BY_SIDE_COLUMNS }], results.figures.map(sideBySideCells))
  )

  if (pairs >= DEFAULT_PAIRS) {
    writeFileSync(OUT, `${JSON.stringify(results, null, 2)}\n`)
    print('', 'Written to benchmarks/side-by-side.json')
  }
}

function row (name: string, measure: MeasureImplementation, figures: Figure[]): Row {
  return {
    name,
    figures,
    contestants: Object.fromEntries(CONTESTANTS.map(implementation => [implementation, async lab => measure(implementation, lab)]))
  }
}
