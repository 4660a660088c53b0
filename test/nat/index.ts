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
import { testHolePunching } from './hole-punching.ts'
import { testMutualDials } from './mutual-dials.ts'
import { whatIsMissing } from './requirements.ts'

const { values: { runs, rounds, latency: latencies }, positionals: parts } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '20' },
    latency: { type: 'string', multiple: true, default: ['20'] }
  }
})

const missing = await whatIsMissing()

if (missing.length > 0) {
  end(['The lab can not be built here:', ...missing.map(what => `- ${what}`)])
}

const failures: string[] = []

if (isWanted('mutual-dials')) {
  failures.push(...await testMutualDials(latencies.map(Number), Number(rounds)))
}

if (isWanted('hole-punching')) {
  failures.push(...await testHolePunching(Number(runs)))
}

end(failures)

function isWanted (part: string): boolean {
  return parts.length === 0 || parts.includes(part)
}

/**
 * Nothing has to be cleaned up first, nor when this process is killed: the lab's
 * processes end with this one, and the rest of the lab with them
 */
function end (failures: string[]): never {
  print(...failures)
  process.exit(failures.length > 0 ? 1 : 0)
}
