import { startPair } from '../stream-pair.ts'
import type { Measure } from '../row.ts'

const WARM_UP = 700
const DURATION = 1_300

/**
 * Requests a second whose response has come, over noise and yamux, from process
 * to process, with one request at a time on each of the streams
 */
export function measureRoundTrips (streams: number): (name: string) => Measure {
  return name => async (contestant, lab) => {
    const requester = await startPair(contestant, lab)
    await requester.ask('request', streams, WARM_UP)

    return { figures: { [name]: await requester.ask('request', streams, DURATION) } }
  }
}
