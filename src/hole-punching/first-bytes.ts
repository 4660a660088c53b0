import pDefer from 'p-defer'
import { untilAborted } from '../abort.ts'
import type { Socket } from 'node:net'

/**
 * The length of `/multistream/1.0.0` with its length and line feed, which is all
 * that some responders say without being asked (go-multistream)
 */
const MULTISTREAM_HEADER = 20

/**
 * In a private network both ends begin with a nonce, whatever their role (libp2p specs,
 * `pnet/Private-Networks-PSK-V1.md`)
 */
const PRIVATE_NETWORK_NONCE = 24

/**
 * After how many ms a SYN or SYN-ACK that was not answered is sent again for the first
 * time, and data if the handshake gave no round trip time (RFC 6298, sections 2 and 5;
 * Linux' TCP_TIMEOUT_INIT)
 */
export const FIRST_RETRANSMISSION = 1_000

/**
 * How long a listener waits for what an initiator proposes, in ms, before it takes the
 * peer of a hole punch for a responder. An initiator proposes at once. What it sends then
 * may be lost, and comes again one retransmission timeout later: a round trip and 200 ms,
 * or three round trips if they take longer than 100 ms (RFC 6298, section 2.2; Linux'
 * TCP_RTO_MIN). So half a second is enough up to round trips of 166 ms. The ACK before it
 * does not matter: without it there is no connection to wait on yet
 */
export const ACCEPTED_SILENCE = 500

/**
 * Round trips beyond this are waited for as if they took this long, in ms: an attempt of
 * DCUtR has five seconds for the exchange of addresses, the dial, this silence and the upgrade
 */
const LONGEST_ROUND_TRIP = 500

/**
 * What a busy peer or timer may add, in ms
 */
const LEEWAY = 250

/**
 * How long a responder that dialed waits for what an initiator proposes, in ms, before it
 * takes the role itself. With R for a round trip, and one frame lost on the way, the first
 * bytes of an initiator arrive after we are connected no later than
 *
 * - R + {@link ACCEPTED_SILENCE} when our SYN got to its listener, which waits for us
 * first. Our SYN or its SYN-ACK lost: the same, as then we are connected later
 * - {@link FIRST_RETRANSMISSION} + R + {@link ACCEPTED_SILENCE} when our ACK to that
 * listener is lost: it accepts us no sooner than its SYN-ACK was sent again and answered
 * - 2R + {@link ACCEPTED_SILENCE} + max(200, 2R) when the listener's first data is lost
 * - {@link FIRST_RETRANSMISSION} + R in a simultaneous open of which our SYN-ACK or ACK
 * is lost: the initiator is connected no sooner than its own SYN-ACK was sent again
 * - {@link FIRST_RETRANSMISSION} + 2R in a simultaneous open of which the initiator's first
 * data is lost
 *
 * so it is longer than each of them, and than {@link ACCEPTED_SILENCE} in any case: of two
 * ends that wait for each other only one begins. If that was wrong, both are initiators
 * and the attempt is lost. It could be shorter where our SYN is known to have got to
 * a listener, but the kernel does not tell: both ways end in a connected socket, and what
 * TCP_INFO has about it is out of reach from Node
 *
 * @param connecting - how many ms the dial took, which is a round trip or more: with
 * {@link FIRST_RETRANSMISSION} in it, if a SYN or SYN-ACK was lost
 */
export function dialedSilence (connecting: number): number {
  const roundTrip = connecting < FIRST_RETRANSMISSION ? connecting : connecting - FIRST_RETRANSMISSION

  return FIRST_RETRANSMISSION + ACCEPTED_SILENCE + 2 * Math.min(roundTrip, LONGEST_ROUND_TRIP) + LEEWAY
}

export interface PeerProposesOptions {
  /**
   * In ms
   */
  timeout: number

  /**
   * Is the connection going to be protected by a pre-shared key?
   */
  isPrivateNetwork: boolean
  signal: AbortSignal
}

/**
 * Waits until the peer has proposed something, as an initiator does at once, but no
 * longer than `timeout` ms
 *
 * @returns whether it has
 * @throws {AbortError}
 */
export async function peerProposes (socket: Socket, { timeout, isPrivateNetwork, signal }: PeerProposesOptions): Promise<boolean> {
  const unasked = MULTISTREAM_HEADER + (isPrivateNetwork ? PRIVATE_NETWORK_NONCE : 0)
  const waited = pDefer<void>()
  const hasProposed = (): boolean => socket.bytesRead > unasked
  const stopWaiting = (): void => { waited.resolve() }
  const onData = (): void => {
    if (hasProposed()) {
      stopWaiting()
    }
  }
  const timer = setTimeout(stopWaiting, timeout)
  socket.on('data', onData)
  socket.once('close', stopWaiting)

  try {
    await untilAborted(waited.promise, signal)

    return hasProposed()
  } finally {
    clearTimeout(timer)
    socket.off('data', onData)
    socket.off('close', stopWaiting)
  }
}
