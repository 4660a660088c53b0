import { TimeoutError } from '@libp2p/interface'
import { withSignals } from '../abort.ts'
import { rulesOf } from '../upgrading/roles.ts'
import { FIRST_RETRANSMISSION_MS, dataRetransmission } from '../upgrading/time-limits.ts'
import type { Role } from '../upgrading/roles.ts'
import type { Connection } from '@libp2p/interface'

/**
 * When the kernel sends the third SYN, in ms. It sends them after 0, 1 and 3 s (RFC 6298; Linux'
 * TCP_TIMEOUT_INIT), and so it does with SYN-ACKs
 */
const THIRD_SYN_MS = 3_000

/** The delay that a busy peer or a late timer may add, in ms */
const LEEWAY_MS = 250

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

/** The time limits of a hole punch, in ms */
export interface PunchLimits {
  /** Until an address of the peer is connected */
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
 * the relay. The direct one is rarely longer. Of two frames in a row, both may be lost: two SYNs,
 * or data that is sent again. Then a new attempt is faster than waiting
 *
 * @param role
 * @param roundTrip - in ms
 */
export function punchLimits (role: Role, roundTrip: number): PunchLimits {
  const longest = Math.min(roundTrip, LONGEST_ROUND_TRIP_MS)

  return {
    connecting: THIRD_SYN_MS + longest + LEEWAY_MS,
    upgrading: took => Math.min(rulesOf(role).silence(took) + threeRoundTrips(Math.min(longest, took)), LONGEST_UPGRADE_MS),
    answering: Math.min(threeRoundTrips(longest), LONGEST_UPGRADE_MS)
  }
}

/**
 * How long multistream, noise and yamux take, in ms. Data is sent again if it is lost, and after
 * twice the time if it is lost again. If the handshake gave no round trip time, one loss takes
 * {@link FIRST_RETRANSMISSION_MS}
 */
function threeRoundTrips (roundTrip: number): number {
  const lost = dataRetransmission(roundTrip)

  return 3 * roundTrip + Math.max(lost + 2 * lost, FIRST_RETRANSMISSION_MS + lost)
}

/**
 * Runs a punch with a signal that aborts at its limits, or when one of `signals` aborts. The punch
 * has to tell when an address is connected. With 8 addresses, a punch takes no longer than both
 * limits together.
 *
 * If the relayed connection closes during the upgrade, the peer has finished its end of the
 * upgrade: it closes the relayed connection only for a direct one. This end's upgrade is then the
 * only connection that is left, so it gets {@link LONGEST_UPGRADE_MS} more
 */
export async function withPunchLimits <T> (signals: AbortSignal[], { connecting, upgrading }: PunchLimits, relayed: Connection, punch: (signal: AbortSignal, onConnected: () => void) => Promise<T>): Promise<T> {
  const expired = new AbortController()
  const started = Date.now()
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
  const onConnected = (): void => {
    const took = Date.now() - started

    if (took < connecting) {
      clearTimeout(timer)
      timer = setTimeout(expire, Math.max(connecting - took, upgrading(took)))
      mayProlong = true
    }
  }

  try {
    return await withSignals([...signals, expired.signal], async signal => punch(signal, onConnected))
  } finally {
    clearTimeout(timer)
  }
}
