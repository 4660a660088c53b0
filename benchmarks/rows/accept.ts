import { median } from '../statistics.ts'
import type { Acceptor } from '../processes/acceptor.ts'
import type { Measure } from '../row.ts'

/**
 * Fits the queue of pending connections
 */
const BATCH = 400
const WARM_UP_BATCHES = 8
const BATCHES = 16

/**
 * Connections a second that the listener accepts from plain clients, without an
 * upgrade
 */
export function measureAccepts (name: string): Measure {
  return async (contestant, lab) => {
    const times = await lab.start<Acceptor>('acceptor.ts').ask('run', contestant, WARM_UP_BATCHES + BATCHES, BATCH)

    return { figures: { [name]: 1e6 / median(times.slice(WARM_UP_BATCHES)) } }
  }
}
