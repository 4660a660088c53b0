import { setTimeout as delay } from 'node:timers/promises'
import { pEvent } from 'p-event'
import { throwIfAborted, untilAborted } from '../abort.ts'
import { OVER } from '../dialing/race.ts'
import { LATE_ARRIVAL_MS } from '../upgrading/time-limits.ts'
import { isDirect } from './connections.ts'
import { withPunchLimits } from './punch-limits.ts'
import type { PunchLimits } from './punch-limits.ts'
import type { Connection, Libp2pEvents } from '@libp2p/interface'
import type { TypedEventTarget } from 'main-event'

/**
 * One way to a direct connection. Most of them dial one address of the peer. It calls back when
 * the address is connected, before the upgrade, and says how many ms that took
 */
export interface PunchDial {
  (signal: AbortSignal, onConnected?: (took: number) => void): Promise<Connection>
}

export interface PunchOptions {
  /** The connection to the peer over the relay */
  relayed: Connection
  dials: PunchDial[]

  /** Of each dial */
  limits: PunchLimits
  events: TypedEventTarget<Libp2pEvents>
  signal: AbortSignal
}

/**
 * Dials all addresses at once, and takes the first direct connection to the peer. The peer may
 * have opened this connection
 *
 * @throws {AbortError} when the signal aborts
 * @throws {Error} the error of the first dial, if all dials have failed or their time is up. A dial
 * that could not connect fails {@link LATE_ARRIVAL_MS} later, as the connection of the peer may
 * still arrive
 */
export async function punch ({ relayed, dials, limits, events, signal }: PunchOptions): Promise<Connection> {
  throwIfAborted(signal)

  const controller = new AbortController()
  const over = controller.signal
  const accepted = pEvent<'connection:open', CustomEvent<Connection>>(events, 'connection:open', {
    filter: ({ detail: connection }) => isDirect(connection) && connection.remotePeer.equals(relayed.remotePeer),
    signal: over
  })
  const dialed = Promise.any(dials.map(async dial => withPunchLimits(over, limits, relayed, async (signal, onConnected) => {
    let isConnected = false

    try {
      return await dial(signal, took => {
        isConnected = true
        onConnected(took)
      })
    } catch (err) {
      if (!isConnected) {
        await delay(LATE_ARRIVAL_MS, undefined, { signal })
      }

      throw err
    }
  }))).catch(({ errors }: AggregateError) => { throw errors[0] })

  try {
    return await untilAborted(Promise.race([accepted.then(({ detail }) => detail), dialed]), signal)
  } finally {
    // a constant, not a new error: its stack would keep the relayed connection in memory
    controller.abort(OVER)
  }
}
