import type { Sender } from '../processes/sender.ts'
import type { Contestant, Measure } from '../row.ts'

const WARM_UP = 500
const DURATION = 2_000

/**
 * `MultiaddrConnection.send` of messages of one size, in messages or in bytes a
 * second
 */
export function measureSends (payloadSize: number, unit: 'messages' | 'bytes'): (name: string) => Measure<Contestant> {
  return name => async (contestant, lab) => {
    const rate = await lab.start<Sender>('sender.ts').ask('run', contestant, payloadSize, WARM_UP, DURATION)

    return { figures: { [name]: unit === 'messages' ? rate : rate * payloadSize } }
  }
}
