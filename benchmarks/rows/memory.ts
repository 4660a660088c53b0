import { startDialing } from '../dialing.ts'
import { expectEqual } from '../expect.ts'
import type { Measure } from '../row.ts'

const DIALED = 2_500
const ACCEPTED = 2_500

/**
 * Fits the queue of pending connections
 */
const STEP = 500

const WARM_UP = 1_000

/**
 * What each of 5,000 connections adds to the memory of a process, when it has
 * nothing to do. One half was dialed, the other accepted
 */
export const measureMemory: Measure = async (contestant, lab) => {
  const { dialer, peer, port, dial, close } = await startDialing(contestant, lab, ['--expose-gc'])

  // compiled code is not the connections'
  await dial(WARM_UP)
  await close(WARM_UP)

  const before = await dialer.ask('memory')
  await dial(DIALED)

  for (let accepted = STEP; accepted <= ACCEPTED; accepted += STEP) {
    await peer.ask('connect', port, STEP)
    expectEqual('open connections', await dialer.ask('open', DIALED + accepted), DIALED + accepted)
  }

  const after = await dialer.ask('memory')
  const open = DIALED + ACCEPTED

  expectEqual('connections that are still open', await dialer.ask('open', open), open)

  return {
    figures: {
      'memory-heap': (after.heap - before.heap) / open,
      'memory-rss': (after.rss - before.rss) / open
    }
  }
}
