import { TimeoutError } from '@libp2p/interface'
import { untilAborted, withSignals } from '../abort.ts'
import { rulesOf } from '../upgrading/roles.ts'
import { FIRST_RETRANSMISSION_MS, LEEWAY_MS, dataRetransmission } from '../upgrading/time-limits.ts'
import type { Role } from '../upgrading/roles.ts'
import type { Connection } from '@libp2p/interface'

/**
 * When the kernel sends the third SYN, in ms. It sends them after 0, 1 and 3 s (RFC 6298; Linux'
 * TCP_TIMEOUT_INIT), and so it does with SYN-ACKs
 */
const THIRD_SYN_MS = 3_000

/**
 * Longer round trips count as this long, in ms. The peer decides how long a measured round trip
 * takes, and a punch takes up dials of the node (`turns.ts`)
 */
const LONGEST_ROUND_TRIP_MS = 2_000

/**
 * No upgrade may take longer, in ms. libp2p's `inboundUpgradeTimeout` is as long, so the peer does
 * not wait longer either
 */
const LONGEST_UPGRADE_MS = 10_000

/** A constant, not a new error: its stack would keep the relayed connection in memory */
const EXPIRED = new TimeoutError('The hole punch took too long')

/** The time limits of each dial of a hole punch, in ms */
export interface PunchLimits {
  /** Until the address is connected */
  readonly connecting: number

  /**
   * From then on, until the connection is upgraded
   *
   * @param took - how many ms it took to connect. This is a round trip or more
   */
  upgrading(took: number): number

  /** From then on, until the peer has answered */
  readonly answering: number
}

/**
 * The limits follow the round trip that the exchange of addresses measures. This round trip is over
 * the relay, so the direct one is rarely longer. Two SYNs in a row may be lost
 *
 * @param role
 * @param roundTrip - in ms
 */
export function punchLimits (role: Role, roundTrip: number): PunchLimits {
  const relayed = Math.min(roundTrip, LONGEST_ROUND_TRIP_MS)

  return {
    connecting: THIRD_SYN_MS + relayed + LEEWAY_MS,
    // the exchange may have lost a frame. Then its round trip is much longer than the direct one
    upgrading: took => Math.min(rulesOf(role).silence(took) + threeRoundTrips(Math.min(relayed, took + LEEWAY_MS), took, relayed), LONGEST_UPGRADE_MS),
    answering: Math.min(threeRoundTrips(relayed, relayed, relayed), LONGEST_UPGRADE_MS)
  }
}

/**
 * How long multistream, noise and yamux take, in ms. Data that is lost is sent again, and after
 * twice the time if it is lost again. This is waited for unless a new attempt is faster: the
 * exchange of addresses takes three round trips over the relay, and a frame of it may be lost.
 *
 * The kernel takes the time of the handshake for a round trip. If a SYN or SYN-ACK was lost, this
 * is a second or more, and lost data is sent again after three seconds (Linux 6: `ss -ti` shows
 * `rtt:1023 rto:3072`)
 *
 * @param roundTrip - in ms
 * @param handshake - how long TCP's handshake took, in ms
 * @param relayed - a round trip over the relay, in ms
 */
function threeRoundTrips (roundTrip: number, handshake: number, relayed: number): number {
  const lost = dataRetransmission(handshake)
  const newAttempt = 3 * relayed + FIRST_RETRANSMISSION_MS
  const waits = [lost, 2 * lost].filter(wait => wait < newAttempt)

  return 3 * roundTrip + LEEWAY_MS + waits.reduce((sum, wait) => sum + wait, 0)
}

/**
 * Runs a dial with a signal that aborts at its limits, or when `signal` aborts. The dial has to
 * tell when an address is connected, and how many ms that took. A name may lead to 8 addresses.
 * All together take no longer than both limits.
 *
 * If the relayed connection closes during the upgrade, the peer has finished its end of the
 * upgrade: it closes the relayed connection only for a direct one. This end's upgrade is then the
 * only connection that is left, so it gets {@link LONGEST_UPGRADE_MS} more
 *
 * @throws {TimeoutError} at a limit
 */
export async function withPunchLimits <T> (signal: AbortSignal, { connecting, upgrading }: PunchLimits, relayed: Connection, dial: (signal: AbortSignal, onConnected: (took: number) => void) => Promise<T>): Promise<T> {
  const expired = new AbortController()
  const connectBy = Date.now() + connecting
  let mayProlong = false
  const expire = (): void => {
    if (mayProlong && relayed.status !== 'open') {
      mayProlong = false
      timer = setTimeout(expire, LONGEST_UPGRADE_MS)
    } else {
      expired.abort(EXPIRED)
    }
  }
  let timer = setTimeout(expire, connecting)
  const onConnected = (took: number): void => {
    if (Date.now() < connectBy) {
      clearTimeout(timer)
      timer = setTimeout(expire, upgrading(took))
      mayProlong = true
    }
  }

  try {
    return await withSignals([signal, expired.signal], async signal => untilAborted(dial(signal, onConnected), signal))
  } catch (err) {
    throw expired.signal.aborted ? EXPIRED : err
  } finally {
    clearTimeout(timer)
  }
}
