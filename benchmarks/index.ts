/**
 * Measures this transport against `@libp2p/tcp` and a raw socket, in turn, on
 * loopback. The exit code is 1 if a benchmark did not do its work.
 *
 * - `npm run bench`: all rows
 * - `npm run bench -- dial accept`: these rows
 * - `npm run bench -- --pairs 9 --node /usr/bin/node`: more pairs, another Node
 */

import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { print } from '../examples/ports/print.ts'
import { measureInTurn } from './in-turn.ts'
import { USAGE, parseOptions } from './options.ts'
import { showProgress } from './progress.ts'
import { describeRun, dialCostOf, resultOf } from './results.ts'
import { resultsTable } from './table.ts'
import type { Options } from './options.ts'
import type { Results } from './results.ts'

process.once('SIGINT', () => { process.exit(130) })

const options = optionsOrUsage()

if (options.node == null) {
  await run(options)
} else {
  runOn(options.node)
}

async function run ({ rows, pairs, out }: Options): Promise<void> {
  const results: Results = { ...describeRun(), pairs, metrics: [] }
  const progress = showProgress(pairs * rows.reduce((sum, { contestants }) => sum + Object.keys(contestants).length, 0))
  const failures: string[] = []

  for (const row of rows) {
    try {
      const samples = await measureInTurn(row, pairs, (contestant, pair) => { progress.next(`${row.name}, pair ${pair + 1}, ${contestant}`) })
      results.metrics.push(...row.metrics.map(metric => resultOf(metric, samples)))
      results.dialCost ??= dialCostOf(samples)
    } catch (err: any) {
      failures.push(err.message)
    }
  }

  progress.end()
  print(`${results.machine}, Node ${results.node}, ${results.peer}, ${pairs} pairs`, '', ...resultsTable(results.metrics))

  if (failures.length > 0) {
    process.stderr.write(failures.map(failure => `\nFAILED: ${failure}\n`).join(''))
    process.exitCode = 1
  } else if (out != null) {
    await write(results, out)
  }
}

async function write (results: Results, directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true })
  writeFileSync(path.join(directory, 'results.json'), `${JSON.stringify(results, null, 2)}\n`)

  // it is large, and nothing that is measured needs it
  const { drawChart } = await import('./chart.ts')
  writeFileSync(path.join(directory, 'results.svg'), drawChart(results))
  print('', `Written to ${directory}`)
}

/**
 * Begins again on another Node
 */
function runOn (node: string): void {
  const args = process.argv.slice(1).filter((arg, i, all) => arg !== '--node' && all[i - 1] !== '--node' && !arg.startsWith('--node='))

  process.exitCode = spawnSync(node, args, { stdio: 'inherit' }).status ?? 1
}

function optionsOrUsage (): Options {
  try {
    return parseOptions(process.argv.slice(2))
  } catch (err: any) {
    process.stderr.write(`${err.message}\n\n${USAGE}`)
    process.exit(2)
  }
}
