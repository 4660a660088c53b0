import { markdownTable } from 'markdown-table'
import pMap from 'p-map'
import { inMs, print } from '../kit/print.ts'
import { median } from '../kit/statistics.ts'
import { isConePair } from './nat-pairs.ts'
import { play } from './play.ts'
import type { Played } from './play.ts'
import type { Round } from './punch.ts'
import type { Scene } from './scene.ts'

/**
 * How long it may take from a relayed connection to a direct one between cone NATs, in ms, in the
 * median: 15 round trips between the hosts
 */
const AIM = 15 * 2 * 20

const COLUMNS = ['first', 'second', 'with', 'expected', 'direct', 'at the first attempt', 'simultaneous opens', 'relayed to direct: median', 'worst', 'because']

/** Plays scenes, so many at a time, and prints what became of them. Returns what is wrong */
export async function testHolePunching (scenes: Scene[], concurrency: number): Promise<string[]> {
  const played = await pMap(scenes, play, { concurrency })

  print(markdownTable([COLUMNS, ...played.map(cells)]), '', ...played.flatMap(whatWentWrong))

  printTimes(played)

  return played.flatMap(whatFailed)
}

function directOf (rounds: Round[]): Round[] {
  return rounds.filter(({ outcome }) => outcome === 'direct')
}

function timesOf (rounds: Round[]): number[] {
  return directOf(rounds).map(({ time = NaN }) => time)
}

function cells ({ scene: { names, special = '', expected, runs, because = '' }, rounds, simultaneousOpens }: Played): string[] {
  const direct = directOf(rounds)
  const times = timesOf(rounds)

  return [
    ...names,
    special,
    expected,
    `${direct.length} of ${runs}`,
    `${direct.filter(({ attempts = 1 }) => attempts <= 1).length}`,
    `${simultaneousOpens}`,
    inMs(median(times)),
    inMs(Math.max(...times)),
    because
  ]
}

function nameOf ({ scene: { names, special } }: Played): string {
  return `${names.join(' and ')}${special == null ? '' : `, ${special}`}`
}

function whatWentWrong (played: Played): string[] {
  return played.rounds.flatMap(({ wrong }, n) => wrong.length === 0 ? [] : [`${nameOf(played)}, round ${n + 1}: ${wrong.join('; ')}`])
}

function whatFailed (played: Played): string[] {
  const { scene: { mayFail = 0 }, rounds } = played
  const failed = rounds.filter(({ wrong }) => wrong.length > 0).length

  return failed <= mayFail ? [] : [`Failed in ${failed} hole punches of ${rounds.length}, where ${mayFail} may: ${nameOf(played)}`]
}

/** A time says more of the machine than of the code, so none fails the run */
function printTimes (played: Played[]): void {
  const times = timesOf(played.filter(({ scene: { names, special } }) => special == null && isConePair(...names)).flatMap(({ rounds }) => rounds))

  if (times.length > 0) {
    print(`Between cone NATs it took ${inMs(median(times))} in the median, at worst ${inMs(Math.max(...times))}. The aim is ${inMs(AIM)} in the median: ${median(times) <= AIM ? 'reached' : 'not reached'}`, '')
  }
}
