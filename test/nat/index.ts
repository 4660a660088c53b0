/**
 * Whole nodes in a lab of network namespaces, with a path between them that takes
 * its time, and NATs. Linux and root only.
 *
 * - `npm run test:nat`
 * - `npm run test:nat -- mutual-dials`, or `hole-punching`: this part only
 * - `npm run test:nat -- --runs 20`: so many runs for each pair of NATs
 * - `npm run test:nat -- --rounds 100 --latency 10 --latency 100`: more rounds, at
 * these one-way latencies (in ms)
 */

import { parseArgs } from 'node:util'
import { print } from '../../examples/ports/print.ts'
import { choose, parseCount, parseOrExit } from '../fixtures/arguments.ts'
import { testHolePunching } from './hole-punching.ts'
import { testMutualDials } from './mutual-dials.ts'
import { whatIsMissing } from './requirements.ts'

const { parts, runs, rounds, latencies } = parseOrExit(() => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      runs: { type: 'string', default: '3' },
      rounds: { type: 'string', default: '20' },
      latency: { type: 'string', multiple: true, default: ['20'] }
    }
  })

  return {
    parts: choose(positionals, ['mutual-dials', 'hole-punching']),
    runs: parseCount('--runs', values.runs),
    rounds: parseCount('--rounds', values.rounds),
    latencies: values.latency.map(value => parseCount('--latency', value))
  }
})

const missing = await whatIsMissing()

if (missing.length > 0) {
  end(['The lab can not be built here:', ...missing.map(what => `- ${what}`)])
}

const failures: string[] = []

if (parts.includes('mutual-dials')) {
  failures.push(...await testMutualDials(latencies, rounds))
}

if (parts.includes('hole-punching')) {
  failures.push(...await testHolePunching(runs))
}

end(failures)

/**
 * Nothing has to be cleaned up first, nor when this process is killed: the lab's
 * processes end with this one, and the rest of the lab with them
 */
function end (failures: string[]): never {
  print(...failures)
  process.exit(failures.length > 0 ? 1 : 0)
}
