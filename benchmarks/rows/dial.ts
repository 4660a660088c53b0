import { startDialing } from '../dialing.ts'
import { median } from '../statistics.ts'
import type { Measure } from '../row.ts'

const BATCH = 500

/**
 * The compiler is not done before
 */
const WARM_UP_BATCHES = 32
const BATCHES = 24

/**
 * Dials a second, without an upgrade, 50 at a time. The clock does not run while
 * the connections are closed
 */
export function measureDials (name: string): Measure {
  return async (contestant, lab) => {
    const dialing = await startDialing(contestant, lab)
    const times: number[] = []

    for (let i = 0; i < WARM_UP_BATCHES + BATCHES; i++) {
      times.push((await dialing.dial(BATCH)).time)
      await dialing.close(BATCH)
    }

    return { figures: { [name]: 1e6 / median(times.slice(WARM_UP_BATCHES)) } }
  }
}
