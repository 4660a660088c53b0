/**
 * A smoke test of Node, Bun and Deno: listens, dials and closes in each of them,
 * and prints what was seen. The exit code is 1 if that is not what is expected,
 * see outcomes.ts, be it worse or better.
 */

import { hasIPv6 } from '../../examples/ports/ipv6.ts'
import { print } from '../../examples/ports/print.ts'
import { formatTable } from '../../examples/ports/table.ts'
import { EXPECTED, RUNTIMES } from './outcomes.ts'
import { startPeers } from './peers.ts'
import { run } from './run.ts'
import type { Report } from './smoke.ts'

/**
 * Of a column, at most
 */
const WIDTH = 30

const ipv6 = await hasIPv6()
const hosts = ipv6 ? ['127.0.0.1', '::1'] : ['127.0.0.1']
const expected = EXPECTED.filter(([step]) => ipv6 || !step.startsWith('IPv6'))
const peers = await startPeers()
const runs: Report[] = []

for (const runtime of RUNTIMES) {
  runs.push(await run(runtime, peers.url, hosts))
}

await peers.stop()

const seen = ([step]: string[]): string[] => runs.map(({ outcomes }) => outcomes[step] ?? 'not reached')
const columns = RUNTIMES.map((runtime, i) => `${runtime} ${runs[i].version}`)

print(...formatTable([{ columns: ['step'] }, { columns }], expected.map(row => [row[0], ...seen(row).map(shorten)])))

if (!ipv6) {
  print('', 'There is no IPv6 on this machine, so its steps are left out')
}

RUNTIMES.forEach((runtime, i) => {
  const differences = expected
    .map(row => ({ step: row[0], expected: row[i + 1], seen: seen(row)[i] }))
    .filter(({ expected, seen }) => expected !== seen)
    .map(({ step, expected, seen }) => `${step}: ${seen}, expected: ${expected}`)

  if (differences.length > 0) {
    print('', `Not as expected in ${runtime}:`, ...differences, '', ...runs[i].errors)
    process.exitCode = 1
  }
})

/**
 * An error may be long; in full it is below the table
 */
function shorten (outcome: string): string {
  return outcome.length > WIDTH ? `${outcome.slice(0, WIDTH - 1)}…` : outcome
}
