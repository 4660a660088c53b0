/**
 * Random programs are played with this transport and with `@libp2p/tcp`. It fails if what
 * can be seen differs, and docs/differences.md does not say so: the specs test what somebody
 * thought of, this what nobody did. Linux and root only.
 *
 * - `npm run test:differential`: the programs of regressions.ts, then random ones for a minute
 * - `npm run test:differential -- --seconds 600`: for ten minutes
 * - `npm run test:differential -- --seed 42 --path 7:1:0`: the one that an earlier run printed, made still smaller
 * - `npm run test:differential -- refused`: only the programs of regressions.ts with that in their name
 */

import { inspect, parseArgs } from 'node:util'
import fc from 'fast-check'
import { parseCount, parseOrExit } from '../kit/arguments.ts'
import { print } from '../kit/print.ts'
import { requireLab } from '../lab/requirements.ts'
import { compare } from './compare.ts'
import { Lane } from './lane.ts'
import { programs } from './program.ts'
import { REGRESSIONS } from './regressions.ts'
import type { Program } from './program.ts'

const LANES = 8

/** How often a difference must be seen again, in fresh processes and namespaces */
const REPLAYS = 2

const { seconds, seed, path, named } = parseOrExit(() => {
  const { values, positionals } = parseArgs({
    options: {
      seconds: { type: 'string', default: '60' },
      seed: { type: 'string', default: `${1 + Date.now() % 1_000_000}` },
      path: { type: 'string' }
    },
    allowPositionals: true
  })

  return { seconds: parseCount('--seconds', values.seconds), seed: parseCount('--seed', values.seed), path: values.path, named: positionals }
})

const failures: string[] = []
let played = 0

await requireLab()
process.once('SIGINT', () => { process.exit(130) })
print(`Node ${process.version}, seed ${seed}`)

/** @returns what differs, each time that it is played */
async function differences (lane: Lane, program: Program): Promise<string[]> {
  played++
  let found = compare(program, await lane.play(program))

  for (let i = 0; i < REPLAYS && found.length > 0; i++) {
    const fresh = new Lane()
    const again = compare(program, await fresh.play(program))
    await fresh.stop()
    found = found.filter(difference => again.includes(difference))
  }

  return found
}

function report (name: string, program: Program, found: string[]): void {
  failures.push(`DIFFERS  ${name}`)
  // without what is undefined
  print('', `DIFFERS  ${name}`, inspect(JSON.parse(JSON.stringify(program)), { depth: Infinity, breakLength: 120 }), ...found.map(difference => `  - ${difference}`))
}

/** Plays random programs until the time is over, or something differs. That is then made smaller */
async function fuzz (lane: Lane, firstSeed: number): Promise<void> {
  let last: string[] = []
  const { failed, counterexample, counterexamplePath } = await fc.check(fc.asyncProperty(programs, async program => {
    // what makes it smaller is played once only
    const found = last.length === 0 ? await differences(lane, program) : compare(program, await lane.play(program))
    last = found.length > 0 ? found : last

    return found.length === 0
  }), { seed: firstSeed, path, numRuns: path == null ? 1e6 : 1, interruptAfterTimeLimit: seconds * 1_000, markInterruptAsFailure: false })

  if (failed && counterexample != null) {
    report(`--seed ${firstSeed} --path ${counterexamplePath}`, counterexample[0], last)
  }
}

const todo = path == null ? Object.entries(REGRESSIONS).filter(([name]) => named.every(part => name.includes(part))) : []

await Promise.all(Array.from({ length: path == null ? LANES : 1 }, async (_, i) => {
  const lane = new Lane()

  for (let next = todo.shift(); next != null; next = todo.shift()) {
    const found = await differences(lane, next[1])

    if (found.length > 0) {
      report(...next, found)
    }
  }

  if (named.length === 0) {
    await fuzz(lane, seed + i)
  }

  await lane.stop()
}))

print('', `${played} programs, ${failures.length === 0 ? 'no difference' : `${failures.length} differ:`}`, ...failures)
process.exit(failures.length === 0 ? 0 : 1)
