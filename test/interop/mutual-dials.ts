import { repeat } from './cell.ts'
import { untilDisconnected, withTwoPeers } from './two-peers.ts'
import type { Cell } from './cell.ts'
import type { Implementation } from './implementations.ts'

/**
 * One way, in ms
 */
const LATENCY = 20

/**
 * How long before the instant the peers are told of it, in ms
 */
const NOTICE = 100

/**
 * Both dial each other at the same instant. Whatever becomes of their dial, ours
 * must not fail, and both must be connected
 */
export async function * testMutualDials (ours: Implementation, theirs: Implementation, rounds: number): AsyncGenerator<Cell> {
  yield withTwoPeers(ours, theirs, LATENCY, [], async ({ lab, ours, theirs }) => {
    let theirFailures = 0

    const cell = await repeat('both dial at the same instant, 20 ms apart', rounds, async () => {
      const at = Date.now() + NOTICE

      try {
        const [, theirDial] = await Promise.allSettled([ours.ask('dial', theirs.address, at), theirs.ask('dial', ours.address, at)])
          .then(results => results.map((result, i) => {
            if (result.status === 'rejected' && i === 0) {
              throw result.reason
            }

            return result
          }))
        theirFailures += theirDial.status === 'rejected' ? 1 : 0

        await ours.ask('echo', theirs.id, 1_000)
        await theirs.ask('echo', ours.id, 1_000)
      } finally {
        await Promise.all([ours.ask('close', theirs.id), theirs.ask('close', ours.id)])
        await untilDisconnected(ours, theirs)
      }
    })
    const opens = await lab.simultaneousOpens()

    return {
      ...cell,
      // a race that did not happen proves nothing
      succeeded: opens === 0 ? 0 : cell.succeeded,
      errors: opens === 0 ? [...cell.errors, 'no simultaneous open was seen'] : cell.errors,
      remarks: [`${opens} simultaneous opens`, `${theirFailures} of their dials failed`]
    }
  })
}
