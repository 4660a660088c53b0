/**
 * How long the ends of a hole punch wait for each other. Each limit is computed from the
 * events that it must outlast.
 */

/**
 * After how many ms an unanswered SYN or SYN-ACK is sent again for the first time (RFC 6298,
 * sections 2 and 5; Linux' TCP_TIMEOUT_INIT). The same is true for data, if the handshake gave
 * no round trip time
 */
export const FIRST_RETRANSMISSION_MS = 1_000

/** The delay that a busy peer or a late timer may add, in ms */
export const LEEWAY_MS = 250

/**
 * Longer round trips count as this long, in ms. An attempt of DCUtR has five seconds for the
 * exchange of addresses, the dial, the silence and the upgrade
 */
const LONGEST_ROUND_TRIP_MS = 500

/**
 * How long a listener waits for the first bytes of an initiator, in ms. After that it takes
 * the peer of a hole punch for a responder. An initiator sends its first bytes at once, right
 * behind the ACK that completes the connection. A loss of this ACK does not matter: without it
 * no connection is accepted yet, so the wait has not begun.
 *
 * The peer of a punch is a responder. Only others can be initiators: a neighbour behind the
 * peer's NAT, or a plain dial of the peer. If the first bytes of such a dial are lost, this
 * limit is too short, and the dial fails. A longer limit would delay each punch with a peer
 * behind a symmetric NAT (docs/decisions.md)
 */
export const ACCEPTED_SILENCE_MS = 100

/**
 * The same in a private network, after the exchange of the nonces. An initiator may then need
 * one more round trip, until it has this end's nonce. With this round trip, the limit outlasts
 * one loss of its first bytes if a round trip takes 127 ms or less
 */
export const PROTECTED_SILENCE_MS = 127.5 + dataRetransmission(127.5)

/**
 * How long an initiator that dialed waits for the peer's first bytes, in ms. It speaks at once,
 * unless its dial took longer than a responder waits. Then the peer may be the initiator by now.
 * This happens if the ACK to this end's SYN-ACK is lost, and the SYN-ACK that this end sends
 * again as well. The peer's first bytes then complete the connection, so they are here with it
 *
 * @param connecting - how many ms the dial took
 */
export function initiatorSilence (connecting: number): number {
  return connecting < dialedSilence(0) ? 0 : ACCEPTED_SILENCE_MS
}

/**
 * How long a responder that dialed waits for the first bytes of an initiator, in ms. If the
 * peer is still silent then, both ends are waiting. This end then becomes the initiator.
 *
 * If one frame is lost, the peer's first bytes arrive later. The limit is longer than the
 * latest such arrival, so only one of two waiting ends becomes the initiator. If both ends did,
 * the attempt would fail.
 *
 * The limit is the same in all networks, so it allows for the longer wait of a listener in a
 * private one. It could be shorter if this end's SYN has reached a listener. But the kernel does
 * not tell: after a simultaneous open the socket is connected as well.
 *
 * In a private network the wait begins when this end has the peer's nonce, which the peer sends
 * as soon as it is connected. A lost frame then costs no more time than below
 *
 * @param connecting - how many ms the dial took. This is a round trip or more. It includes
 * {@link FIRST_RETRANSMISSION_MS} if a SYN or SYN-ACK was lost
 */
export function dialedSilence (connecting: number): number {
  const measured = connecting < FIRST_RETRANSMISSION_MS ? connecting : connecting - FIRST_RETRANSMISSION_MS
  const roundTrip = Math.min(measured, LONGEST_ROUND_TRIP_MS)
  const latest = Math.max(
    // This end's SYN reached a listener, and the listener waits for this end first. The same
    // is true if the SYN or the SYN-ACK is lost: this end is then connected later
    roundTrip + PROTECTED_SILENCE_MS,
    // This end's ACK to the listener is lost: the listener accepts the connection after it has
    // sent its SYN-ACK again
    FIRST_RETRANSMISSION_MS + roundTrip + PROTECTED_SILENCE_MS,
    // The first data of the listener is lost
    roundTrip + PROTECTED_SILENCE_MS + dataRetransmission(roundTrip),
    // A simultaneous open, and this end's SYN-ACK or ACK is lost: the initiator is connected
    // after it has sent its own SYN-ACK again
    FIRST_RETRANSMISSION_MS + roundTrip,
    // A simultaneous open, and the first data of the initiator is lost
    FIRST_RETRANSMISSION_MS + 2 * roundTrip
  )

  return latest + LEEWAY_MS
}

/**
 * How long the peer's own dial may still arrive and be upgraded after this end's dial has
 * failed, in ms. This end's dial fails at once if the peer's SYN arrived first, because the
 * kernel already has this connection. If the peer's ACK is lost, the kernel accepts the
 * connection only after it has sent its SYN-ACK again
 */
export const LATE_ARRIVAL_MS = FIRST_RETRANSMISSION_MS + PROTECTED_SILENCE_MS + 2 * LONGEST_ROUND_TRIP_MS

/**
 * How long the plain dial beside the exchange of addresses may take, in ms. There is such a dial
 * if the peer announces public addresses. The first SYN may be lost. The connection, its upgrade
 * and an answer take a few round trips
 */
export const PLAIN_DIAL_MS = FIRST_RETRANSMISSION_MS + 4 * LONGEST_ROUND_TRIP_MS

/**
 * How long a peer may take to tell the address at which it sees this end, in ms. The first SYN
 * may be lost, and one frame of data. The connection, its upgrade and identify take a few round
 * trips. An exchange that waits for this has five seconds
 */
export const ADDRESS_LEARNING_MS = FIRST_RETRANSMISSION_MS + 4 * LONGEST_ROUND_TRIP_MS + dataRetransmission(LONGEST_ROUND_TRIP_MS)

/**
 * After how many ms lost data is sent again, if the handshake took one round trip: the round
 * trip, plus four times its variation. The variation counts as half the round trip (RFC 6298,
 * section 2.2). Linux adds at least 200 ms (TCP_RTO_MIN)
 */
export function dataRetransmission (roundTrip: number): number {
  return roundTrip + Math.max(2 * roundTrip, 200)
}
