/**
 * Random programs are played with this transport and with `@libp2p/tcp`. It fails if what
 * can be seen differs, and docs/differences.md does not say so. Linux and root only.
 *
 * - `npm run test:differential`: the programs of regressions.ts, then random ones for a minute
 * - `npm run test:differential -- --seconds 600`: for ten minutes. `--seconds 0`: none
 * - `npm run test:differential -- --seed 42`: the random programs of an earlier run
 * - `npm run test:differential -- --seed 42 --path 7:1:0`: the one that it printed
 * - `npm run test:differential -- refused`: only the programs of regressions.ts with that in their name
 * - `npm run test:differential -- --random`: only random ones
 */

import { parseArgs } from 'node:util'
import fc from 'fast-check'
import { parseCount, parseOrExit } from '../kit/arguments.ts'
import { print as printLines } from '../kit/print.ts'
import { requireLab } from '../lab/requirements.ts'
import { compare, describe, isCause, kindOf } from './compare.ts'
import { Lane } from './lane.ts'
import { print, programs } from './program.ts'
import { REGRESSIONS } from './regressions.ts'
import type { Difference } from './compare.ts'
import type { Program } from './program.ts'
import type { Parameters } from 'fast-check'

const LANES = 8

/** How long it may take to make a program that differs smaller, in ms */
const SHRINK_LIMIT = 40_000

/** How often a difference must be seen again, in fresh processes and namespaces */
const REPLAYS = 2

/** Programs in a row of which each is made of the same seed */
const ROUND = 50

const { seconds, seed, path, isRandom, named } = parseOrExit(() => {
  const { values, positionals } = parseArgs({
    options: {
      seconds: { type: 'string', default: '60' },
      seed: { type: 'string', default: `${1 + Date.now() % 1_000_000}` },
      path: { type: 'string' },
      random: { type: 'boolean', default: false }
    },
    allowPositionals: true
  })

  return { seconds: Number(values.seconds), seed: parseCount('--seed', values.seed), path: values.path, isRandom: values.random, named: positionals }
})

const start = performance.now()

/** Kinds of differences that were reported, and those that are being made smaller */
const reported = new Set<string>()
const inWork = new Set<string>()

const failures: string[] = []
let played = 0

await requireLab()
process.once('SIGINT', () => { process.exit(130) })
printLines(`Node ${process.version}, seed ${seed}`)

/** @returns the differences that are seen again each time, in fresh processes and namespaces */
async function confirmed (program: Program, differences: Difference[]): Promise<Difference[]> {
  for (let i = 0; i < REPLAYS && differences.length > 0; i++) {
    const lane = new Lane()
    const again = compare(program, await lane.play(program))
    await lane.stop()
    differences = differences.filter(({ what, theirs, ours }) => again.some(other => other.what === what && other.theirs === theirs && other.ours === ours))
  }

  return differences
}

function report (name: string, program: Program, differences: Difference[]): void {
  // one of each kind will do
  const byKind = new Map(differences.toReversed().map(difference => [kindOf(difference), difference]))
  byKind.forEach((_, kind) => reported.add(kind))
  failures.push(name)
  printLines('', `DIFFERS  ${name}, after ${Math.round((performance.now() - start) / 1000)} s`, print(program), ...[...byKind.values()].toReversed().map(difference => `  - ${describe(difference)}`))
}

/** Random programs until the time is over, each round with a seed of its own */
async function fuzz (lane: Lane, firstSeed: number, until: number): Promise<void> {
  for (let round = 0; performance.now() < until; round++) {
    await check(lane, { seed: firstSeed + round * LANES, numRuns: ROUND }, until)
  }
}

/** Plays until something differs that is not known yet, and makes that smaller */
async function check (lane: Lane, parameters: Parameters<[Program]>, until: number): Promise<void> {
  let first: { program: Program, differences: Difference[] } | undefined
  let smallest: { program: Program, differences: Difference[] } | undefined
  let sought: string | undefined
  let end = until

  const differs = async (program: Program): Promise<boolean> => {
    if (performance.now() > end) {
      return false
    }

    played++
    const differences = compare(program, await lane.play(program))

    if (first == null) {
      // what comes of a dial or a listener that differs, differs too
      const isKnown = (difference: Difference): boolean => reported.has(kindOf(difference)) || inWork.has(kindOf(difference))
      const unknown = differences.some(difference => isCause(difference) && isKnown(difference)) ? [] : differences.filter(difference => !isKnown(difference))
      // nobody else looks for these meanwhile
      unknown.forEach(difference => inWork.add(kindOf(difference)))
      const again = await confirmed(program, unknown)

      if (again.length === 0) {
        unknown.forEach(difference => inWork.delete(kindOf(difference)))

        return false
      }

      first = smallest = { program, differences: unknown }
      sought = kindOf(again[0])
      end = performance.now() + SHRINK_LIMIT

      return true
    }

    if (!differences.some(difference => kindOf(difference) === sought)) {
      return false
    }

    smallest = { program, differences }

    return true
  }

  const { counterexamplePath } = await fc.check(fc.asyncProperty(programs, async program => !await differs(program)), parameters)

  if (first == null || smallest == null) {
    return
  }

  first.differences.forEach(difference => inWork.delete(kindOf(difference)))

  const differences = await confirmed(smallest.program, smallest.differences)
  const isSmaller = differences.length > 0

  if ((isSmaller ? differences : first.differences).every(difference => reported.has(kindOf(difference)))) {
    return
  }

  report(
    `--seed ${parameters.seed} --path ${isSmaller ? counterexamplePath : counterexamplePath?.split(':')[0]}`,
    isSmaller ? smallest.program : first.program,
    isSmaller ? differences : first.differences
  )
}

const lanes = Array.from({ length: LANES }, () => new Lane())

if (path == null) {
  const todo = Object.entries(REGRESSIONS).filter(([name]) => !isRandom && named.every(part => name.includes(part)))

  await Promise.all(lanes.map(async lane => {
    for (let next = todo.shift(); next != null; next = todo.shift()) {
      const [name, program] = next
      played++
      const differences = await confirmed(program, compare(program, await lane.play(program)))

      if (differences.length > 0) {
        report(name, program, differences)
      }
    }
  }))

  const until = performance.now() + (named.length > 0 ? 0 : seconds * 1000)
  await Promise.all(lanes.map(async (lane, i) => fuzz(lane, seed + i, until)))
} else {
  await check(lanes[0], { seed, path, numRuns: 1, endOnFailure: true }, Infinity)
}

await Promise.all(lanes.map(async lane => lane.stop()))
printLines('', `${played} programs in ${Math.round((performance.now() - start) / 1000)} s, ${failures.length === 0 ? 'no difference' : `${failures.length} differ:`}`, ...failures.map(name => `DIFFERS  ${name}`))
process.exit(failures.length === 0 ? 0 : 1)
