import { repeat } from './cell.ts'
import { dialEachOther, withTwoPeers } from './two-peers.ts'
import type { Cell } from './cell.ts'
import type { Implementation } from './implementations.ts'

/** One way, in ms */
const LATENCY = 20

/**
 * Both dial each other at the same instant. Whatever becomes of their dial, ours
 * must not fail, and both must be connected
 */
export async function * testMutualDials (ours: Implementation, theirs: Implementation, rounds: number): AsyncGenerator<Cell> {
  yield withTwoPeers({ ours, theirs, latency: LATENCY }, async peers => {
    let theirFailures = 0

    const cell = await repeat('both dial at the same instant, 20 ms apart', rounds, async () => {
      const { dials: [ourDial, theirDial], echoes } = await dialEachOther(peers)
      theirFailures += theirDial.status === 'rejected' ? 1 : 0
      const failed = [ourDial, ...echoes].find(({ status }) => status === 'rejected')

      if (failed?.status === 'rejected') {
        throw failed.reason
      }
    })
    const opens = await peers.lab.simultaneousOpens()

    return {
      ...cell,
      // a race that did not happen proves nothing
      succeeded: opens === 0 ? 0 : cell.succeeded,
      errors: opens === 0 ? [...cell.errors, 'no simultaneous open was seen'] : cell.errors,
      remarks: [`${opens} simultaneous opens`, `${theirFailures} of their dials failed`]
    }
  })
}
