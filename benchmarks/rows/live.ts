import { startDialing } from '../dialing.ts'
import { median } from '../statistics.ts'
import type { DialCost, Measure } from '../row.ts'

const LIVE = 16_000
const STEP = 1_000
const WARM_UP_BATCHES = 10

/**
 * How often the two that are compared are measured
 */
const REPETITIONS = 5

/**
 * What 1,000 more dials cost with 16,000 live connections, divided by what the
 * first 1,000 cost
 */
export function measureLiveDials (name: string): Measure {
  return async (contestant, lab) => {
    const { dial, close } = await startDialing(contestant, lab)
    const dialCost: DialCost[] = []

    const dialAndClose = async (times: number): Promise<number> => {
      const costs: number[] = []

      for (let i = 0; i < times; i++) {
        costs.push((await dial(STEP)).cpu)
        await close(STEP)
      }

      return median(costs)
    }

    await dialAndClose(WARM_UP_BATCHES)
    const first = await dialAndClose(REPETITIONS)
    dialCost.push([0, first])
    await dial(STEP)

    for (let live = STEP; live < LIVE; live += STEP) {
      dialCost.push([live, (await dial(STEP)).cpu])
    }

    const last = await dialAndClose(REPETITIONS)
    dialCost.push([LIVE, last])

    return { figures: { [name]: last / first }, dialCost }
  }
}
