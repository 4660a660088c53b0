import { addFigures, isNoisy, judge } from './results.ts'
import { JS } from './rows.ts'
import type { Samples } from './results.ts'
import type { Row } from './rows.ts'
import type { Implementation } from '../test/interop/implementations.ts'

/**
 * If the pairs of a row leave open what is better, so many times as many are measured. It is
 * decided once: who measures until a result appears finds one
 */
const MORE = 2

/**
 * The others are only shown for comparison
 */
const PAIRS_OF_OTHERS = 3

/**
 * Measures the contestants in turn, every other time in reverse order. So a change on the
 * machine affects all of them
 *
 * @throws {Error} if a measurement fails
 */
export async function measureInTurn ({ contestants, measure, metrics: [first] }: Row, pairs: number, onMeasure: (contestant: Implementation, pair: number) => void): Promise<Samples> {
  const samples: Samples = {}
  let wanted = pairs

  for (let pair = 0; pair < wanted; pair++) {
    const turn = pair < PAIRS_OF_OTHERS ? contestants : JS

    for (const contestant of pair % 2 === 0 ? turn : turn.toReversed()) {
      onMeasure(contestant, pair)

      try {
        addFigures(samples, contestant, await measure(contestant))
      } catch (err: any) {
        throw new Error(`${contestant}: ${err.message}`, { cause: err })
      }
    }

    const judged = judge(first, samples)

    if (pair + 1 === pairs && judged != null && isNoisy(judged)) {
      wanted = MORE * pairs
    }
  }

  return samples
}
