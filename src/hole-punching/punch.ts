import { Circuit } from '@multiformats/multiaddr-matcher'
import pDefer from 'p-defer'
import { throwIfAborted, untilAborted } from '../abort.ts'
import { LATE_ARRIVAL_MS } from './time-limits.ts'
import type { Connection, Libp2pEvents, PeerId } from '@libp2p/interface'
import type { TypedEventTarget } from 'main-event'

export interface PunchOptions {
  peer: PeerId

  /**
   * Each dials one address of the peer
   */
  dials: Array<(signal: AbortSignal) => Promise<Connection>>

  /**
   * The open connections to the peer
   */
  open(): Connection[]
  events: TypedEventTarget<Libp2pEvents>
  signal: AbortSignal
}

/**
 * Dials all addresses at once, and takes the first direct connection to the peer,
 * whoever of the two opened it
 *
 * @throws {AbortError} when the signal aborts; the error of the first dial that
 * failed, when there is no direct connection a while after the last did
 */
export async function punch ({ peer, dials, open, events, signal }: PunchOptions): Promise<Connection> {
  throwIfAborted(signal)

  const direct = pDefer<Connection>()
  const controller = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined

  const onOpen = ({ detail: connection }: CustomEvent<Connection>): void => {
    if (isDirect(connection) && connection.remotePeer.equals(peer)) {
      direct.resolve(connection)
    }
  }

  events.addEventListener('connection:open', onOpen)

  try {
    const existing = open().find(isDirect)

    if (existing != null) {
      return existing
    }

    Promise.allSettled(dials.map(async dial => {
      direct.resolve(await dial(controller.signal))
    })).then(results => {
      const failed = results.find(result => result.status === 'rejected')

      if (controller.signal.aborted) {
        return
      }

      timer = setTimeout(() => { direct.reject(failed?.reason) }, LATE_ARRIVAL_MS)
    }, direct.reject)

    return await untilAborted(direct.promise, signal)
  } finally {
    events.removeEventListener('connection:open', onOpen)
    controller.abort()
    clearTimeout(timer)
  }
}

/**
 * A relay that sets no limits makes connections without any, so those don't tell
 */
function isDirect ({ remoteAddr, status }: Connection): boolean {
  return !Circuit.matches(remoteAddr) && status === 'open'
}
