import { startPair } from '../stream-pair.ts'
import type { Measure } from '../row.ts'

const WARM_UP = 1_500
const DURATION = 2_500

/**
 * One stream over noise and yamux, from process to process, one way, in messages
 * or in bytes a second
 */
export function measureStreaming (messageSize: number, unit: 'messages' | 'bytes'): (name: string) => Measure {
  return name => async (contestant, lab) => {
    const sender = await startPair(contestant, lab)
    await sender.ask('stream', messageSize, WARM_UP)
    const rate = await sender.ask('stream', messageSize, DURATION)

    return { figures: { [name]: unit === 'messages' ? rate : rate * messageSize } }
  }
}
