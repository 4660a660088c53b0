import pDefer from 'p-defer'
import { startParticipant } from '../test/stress/processes.ts'
import { within } from '../test/stress/within.ts'
import type { Measurement } from './row.ts'
import type { Commands } from '../test/stress/participant.ts'
import type { Participant } from '../test/stress/processes.ts'

/**
 * How long a measurement may take, in ms
 */
const LIMIT = 60_000

/**
 * Where a measurement gets its processes from. They end with it, so that each
 * begins with an empty heap and nothing compiled
 */
export interface Lab {
  start<C extends Commands>(script: string, nodeOptions?: string[]): Participant<C>
}

/**
 * @throws {Error} if the measurement does, or anything goes wrong in its processes
 */
export async function inLab (measure: (lab: Lab) => Promise<Measurement>): Promise<Measurement> {
  const participants: Array<Participant<any>> = []
  const troubles: Error[] = []
  const troubled = pDefer<never>()
  // nobody may be waiting for it
  troubled.promise.catch(() => {})

  const lab: Lab = {
    start (script, nodeOptions) {
      const participant = startParticipant<any>(new URL(`./processes/${script}`, import.meta.url).href, {
        nodeOptions,
        onTrouble: said => {
          // Node 22 says that it strips types
          if (!said.includes('ExperimentalWarning')) {
            troubles.push(new Error(`${script}: ${said}`))
            troubled.reject(troubles[0])
          }
        },
        onProgress: () => {}
      })
      participants.push(participant)

      return participant
    }
  }

  const measurement = within(LIMIT, Promise.race([measure(lab), troubled.promise]), 'a measurement')

  await Promise.allSettled([measurement])
  await Promise.all(participants.map(async participant => participant.stop()))

  if (troubles.length > 0) {
    throw troubles[0]
  }

  return measurement
}
