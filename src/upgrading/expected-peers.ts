import { CODE_P2P } from '@multiformats/multiaddr'
import { LATE_ARRIVAL_MS } from './time-limits.ts'
import type { Target } from '../address.ts'
import type { Endpoint } from '../endpoint.ts'
import type { Multiaddr } from '@multiformats/multiaddr'

/**
 * How many connections from other ports of the dialed host may be taken for the peer's. A
 * symmetric NAT gives the peer another port than the one that was observed. But other nodes
 * behind the same NAT have the same host, so there is a limit
 */
const MAX_FROM_OTHER_PORTS = 3

interface ExpectedPeer {
  /** Where this end dials the peer */
  readonly endpoint?: Endpoint

  /** The peer id, if the dialed multiaddr contains it */
  readonly id?: string
  fromOtherPorts: number
}

/**
 * The peers that this end is punching a hole to as the initiator. A peer's own dial may arrive
 * at a listener instead of meeting the dial of this end
 */
export class ExpectedPeers {
  readonly #peers = new Set<ExpectedPeer>()

  /**
   * Expects a peer while it is dialed, and for {@link LATE_ARRIVAL_MS} more if the dial fails
   *
   * @param ma - the dialed multiaddr
   * @param target - what `ma` stands for
   * @param dialing - the dial, which has already begun
   */
  async during <T> (ma: Multiaddr, target: Target, dialing: Promise<T>): Promise<T> {
    const expected: ExpectedPeer = {
      endpoint: target.type === 'ip' ? target.endpoint : undefined,
      id: ma.getComponents().findLast(({ code }) => code === CODE_P2P)?.value,
      fromOtherPorts: MAX_FROM_OTHER_PORTS
    }
    const forget = (): void => { this.#peers.delete(expected) }
    this.#peers.add(expected)

    try {
      const result = await dialing
      forget()

      return result
    } catch (err: any) {
      if (err.name === 'AbortError') {
        forget()
      } else {
        setTimeout(forget, LATE_ARRIVAL_MS).unref()
      }

      throw err
    }
  }

  /** Is a peer expected from this endpoint? */
  has (remote: Endpoint): boolean {
    return this.#find(remote) != null
  }

  /**
   * The id of the peer that is expected from this endpoint. A connection from the dialed
   * address and port is certainly the peer. It is taken once. Connections from other ports of
   * the host may be the peer. A few of them are taken, and the peer is still expected then
   */
  take (remote: Endpoint): string | undefined {
    const peer = this.#find(remote)

    if (peer?.endpoint?.port === remote.port) {
      this.#peers.delete(peer)
    } else if (peer != null) {
      peer.fromOtherPorts--
    }

    return peer?.id
  }

  #find ({ host, port }: Endpoint): ExpectedPeer | undefined {
    const there = [...this.#peers].filter(({ endpoint }) => endpoint?.host === host)

    return there.find(({ endpoint }) => endpoint?.port === port) ?? there.find(({ fromOtherPorts }) => fromOtherPorts > 0)
  }
}
