import { inLab } from './lab.ts'
import type { Contestant, Measurement, Row } from './row.ts'

/**
 * The measurements of each contestant. Those of one index were made one right
 * after the other
 */
export type Samples = Partial<Record<Contestant, Measurement[]>>

/**
 * Measures the contestants in turn, every other time in reverse order, so that
 * what changes on the machine meanwhile changes for all of them
 *
 * @throws {Error} if a measurement does
 */
export async function measureInTurn (row: Row, pairs: number, onMeasure: (contestant: string, pair: number) => void): Promise<Samples> {
  const turns = Object.entries(row.contestants)
  const samples: Record<string, Measurement[]> = {}

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
