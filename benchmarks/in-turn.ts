import { addFigures, judge } from './results.ts'
import { JS } from './rows.ts'
import type { Samples } from './results.ts'
import type { Row } from './rows.ts'
import type { Implementation } from '../test/interop/implementations.ts'

/**
 * A row that is still too noisy after this many times the requested pairs is given up
 */
const PATIENCE = 3

/**
 * Measures the contestants in turn, every other time in reverse order. So a change on the
 * machine affects all of them. The two that are compared with each other are measured more
 * often, until the result can be judged
 *
 * @throws {Error} if a measurement fails
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
