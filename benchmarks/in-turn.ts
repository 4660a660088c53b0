import { addFigures, judge } from './results.ts'
import { JS } from './rows.ts'
import type { Samples } from './results.ts'
import type { Row } from './rows.ts'
import type { Implementation } from '../test/interop/implementations.ts'

/**
 * A row that is still too noisy after so many times the pairs is given up
 */
const PATIENCE = 3

/**
 * Measures the contestants in turn, every other time in reverse order, so that what changes
 * on the machine meanwhile changes for all of them; and the two that are held against each
 * other more often, until it can be judged
 *
 * @throws {Error} if a measurement does
 */
export async function measureInTurn ({ contestants, measure, metrics }: Row, pairs: number, onMeasure: (contestant: Implementation, pair: number) => void): Promise<Samples> {
  const samples: Samples = {}
  const isNoisy = (): boolean => metrics.some(metric => judge(metric, samples)?.verdict === 'too noisy')

  for (let pair = 0; pair < pairs || (pair < PATIENCE * pairs && isNoisy()); pair++) {
    const turn = pair < pairs ? contestants : JS

    for (const contestant of pair % 2 === 0 ? turn : turn.toReversed()) {
      onMeasure(contestant, pair)

      try {
        addFigures(samples, contestant, await measure(contestant))
      } catch (err: any) {
        throw new Error(`${contestant}: ${err.message}`, { cause: err })
      }
    }
  }

  return samples
}
