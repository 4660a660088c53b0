import { inLab } from './lab.ts'
import type { Lab } from './lab.ts'
import type { Contestant, Measurement } from './row.ts'

/**
 * The measurements of each contestant. Those of one index were made one right
 * after the other
 */
export type Samples<C extends string = Contestant> = Partial<Record<C, Measurement[]>>

export interface Turns<C extends string> {
  name: string

  /**
   * In the order of their turns
   */
  contestants: Partial<Record<C, (lab: Lab) => Promise<Measurement>>>
}

/**
 * Measures the contestants in turn, every other time in reverse order, so that
 * what changes on the machine meanwhile changes for all of them
 *
 * @throws {Error} if a measurement does
 */
export async function measureInTurn <C extends string> (row: Turns<C>, pairs: number, onMeasure: (contestant: C, pair: number) => void): Promise<Samples<C>> {
  const turns = Object.entries(row.contestants) as Array<[C, (lab: Lab) => Promise<Measurement>]>
  const samples: Samples<C> = {}

  for (let pair = 0; pair < pairs; pair++) {
    for (const [contestant, measure] of pair % 2 === 0 ? turns : turns.toReversed()) {
      onMeasure(contestant, pair)

      try {
        samples[contestant] = [...samples[contestant] ?? [], await inLab(measure)]
      } catch (err: any) {
        throw new Error(`${row.name}, ${contestant}: ${err.message}`, { cause: err })
      }
    }
  }

  return samples
}
