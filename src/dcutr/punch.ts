import { setTimeout as delay } from 'node:timers/promises'
import { pEvent } from 'p-event'
import { throwIfAborted, untilAborted } from '../abort.ts'
import { OVER } from '../dialing/race.ts'
import { LATE_ARRIVAL_MS } from '../upgrading/time-limits.ts'
import { isDirect } from './connections.ts'
import type { Connection, Libp2pEvents, PeerId } from '@libp2p/interface'
import type { TypedEventTarget } from 'main-event'

/**
 * One way to a direct connection. Most of them dial one address of the peer. It calls back when
 * the address is connected, before the upgrade
 */
export interface PunchDial {
  (signal: AbortSignal, onConnected: () => void): Promise<Connection>
}

export interface PunchOptions {
  peer: PeerId

  dials: PunchDial[]

  /** Is called when an address is connected, before the upgrade */
  onConnected(): void
  events: TypedEventTarget<Libp2pEvents>
  signal: AbortSignal
}

/**
 * Dials all addresses at once, and takes the first direct connection to the peer. The peer may
 * have opened this connection
 *
 * @throws {AbortError} when the signal aborts
 * @throws {Error} the error of the first dial, if all dials have failed. A dial that could not
 * connect fails {@link LATE_ARRIVAL_MS} later, as the connection of the peer may still arrive
 */
export async function punch ({ peer, dials, onConnected, events, signal }: PunchOptions): Promise<Connection> {
  throwIfAborted(signal)

  const controller = new AbortController()
  const over = controller.signal
  const accepted = pEvent<'connection:open', CustomEvent<Connection>>(events, 'connection:open', {
    filter: ({ detail: connection }) => isDirect(connection) && connection.remotePeer.equals(peer),
    signal: over
  })
  const dialed = Promise.any(dials.map(async dial => {
    let isConnected = false

    try {
      return await dial(over, () => {
        isConnected = true
        onConnected()
      })
    } catch (err) {
      if (!isConnected) {
        await delay(LATE_ARRIVAL_MS, undefined, { signal: over })
      }

      throw err
    }
  })).catch(({ errors }: AggregateError) => { throw errors[0] })

  try {
    return await untilAborted(Promise.race([accepted.then(({ detail }) => detail), dialed]), signal)
  } finally {
    // a constant, not a new error: its stack would keep the relayed connection in memory
    controller.abort(OVER)
  }
}
