/**
 * How long the ends of a hole punch wait for each other. Each limit is computed from what it
 * has to outlast.
 */

/**
 * After how many ms a SYN or SYN-ACK that was not answered is sent again for the first
 * time, and data if the handshake gave no round trip time (RFC 6298, sections 2 and 5;
 * Linux' TCP_TIMEOUT_INIT)
 */
const FIRST_RETRANSMISSION_MS = 1_000

/** What a busy peer or timer may add */
const LEEWAY_MS = 250

/**
 * Longer round trips are waited for as if they took this long: an attempt of DCUtR has five
 * seconds for the exchange of addresses, the dial, the silence and the upgrade
 */
const LONGEST_ROUND_TRIP_MS = 500

/**
 * How long a listener waits for the first bytes of an initiator, before it takes the peer of
 * a hole punch for a responder. An initiator sends at once, and once more if that was lost:
 * this outlasts such a loss up to round trips of 170 ms. The ACK before the first bytes does
 * not matter: without it there is no connection to wait on yet.
 *
 * In a private network it counts from when the nonces are exchanged. An initiator may then
 * need one more round trip, until it has this end's nonce. With that, this outlasts a loss
 * up to round trips of 127 ms
 */
export const ACCEPTED_SILENCE_MS = dataRetransmission(170)

/**
 * How long a responder that dialed waits for the first bytes of an initiator, before it takes
 * that role itself: longer than the latest time at which they arrive if one frame is lost. So
 * of two ends that wait for each other only one begins. If both became initiators, the
 * attempt would be lost.
 *
 * It could be shorter where our SYN is known to have reached a listener, but the kernel does
 * not tell: a simultaneous open ends in a connected socket as well.
 *
 * In a private network it counts from when the peer's nonce is here, which the peer sends as
 * soon as it is connected. Each frame that may be lost then costs no more than below
 *
 * @param connecting - how many ms the dial took, which is a round trip or more: with
 * {@link FIRST_RETRANSMISSION_MS} in it, if a SYN or SYN-ACK was lost
 */
export function dialedSilence (connecting: number): number {
  const measured = connecting < FIRST_RETRANSMISSION_MS ? connecting : connecting - FIRST_RETRANSMISSION_MS
  const roundTrip = Math.min(measured, LONGEST_ROUND_TRIP_MS)
  const latest = Math.max(
    // Our SYN reached a listener, which waits for us first. The same if our SYN or its
    // SYN-ACK is lost, as we are connected later then
    roundTrip + ACCEPTED_SILENCE_MS,
    // Our ACK to that listener is lost: it accepts us when its SYN-ACK was sent again
    FIRST_RETRANSMISSION_MS + roundTrip + ACCEPTED_SILENCE_MS,
    // The first data of that listener is lost
    roundTrip + ACCEPTED_SILENCE_MS + dataRetransmission(roundTrip),
    // A simultaneous open, and our SYN-ACK or ACK is lost: the initiator is connected when
    // its own SYN-ACK was sent again
    FIRST_RETRANSMISSION_MS + roundTrip,
    // A simultaneous open, and the first data of the initiator is lost
    FIRST_RETRANSMISSION_MS + 2 * roundTrip
  )

  return latest + LEEWAY_MS
}

/**
 * How long the peer's own dial may still arrive, and be upgraded, when ours has failed.
 * Ours fails at once if the peer's SYN was here first: then the kernel has the connection
 * already, and accepts it when its SYN-ACK was sent again, if the ACK is lost
 */
export const LATE_ARRIVAL_MS = FIRST_RETRANSMISSION_MS + ACCEPTED_SILENCE_MS + 2 * LONGEST_ROUND_TRIP_MS

/**
 * How long the plain dial that comes before the first punch may take, if the peer announces
 * public addresses: a dial that is going to succeed does so within a few round trips, and
 * DCUtR would wait for five seconds
 */
export const PLAIN_DIAL_MS = FIRST_RETRANSMISSION_MS + 2 * LONGEST_ROUND_TRIP_MS

/**
 * How long it may take to be told at which address a peer sees us: the first SYN may be lost,
 * and the connection, its upgrade and identify take a few round trips
 */
export const ADDRESS_LEARNING_MS = FIRST_RETRANSMISSION_MS + 4 * LONGEST_ROUND_TRIP_MS

/**
 * After how many ms lost data is sent again, if the handshake took one round trip (RFC 6298,
 * section 2.2: the round trip, and four times its variation, which is taken for half of it.
 * Linux adds 200 ms at least, TCP_RTO_MIN)
 */
function dataRetransmission (roundTrip: number): number {
  return roundTrip + Math.max(2 * roundTrip, 200)
}
