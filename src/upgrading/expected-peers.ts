import { CODE_P2P } from '@multiformats/multiaddr'
import { LATE_ARRIVAL_MS } from './time-limits.ts'
import type { Target } from '../address.ts'
import type { Endpoint } from '../endpoint.ts'
import type { Multiaddr } from '@multiformats/multiaddr'

/**
 * How many connections from other ports of the host that was dialed may be the peer's. A
 * symmetric NAT gives it another port than the one that was observed. But its neighbours
 * behind the NAT have that host as well
 */
const MAX_FROM_OTHER_PORTS = 3

interface ExpectedPeer {
  /** Where we dial it */
  readonly endpoint?: Endpoint

  /** The peer id, if the multiaddr that we dial has it */
  readonly id?: string
  fromOtherPorts: number
}

/**
 * The peers that we punch a hole to at the moment, as the initiator. Their dials may arrive
 * at a listener instead
 */
export class ExpectedPeers {
  readonly #peers = new Set<ExpectedPeer>()

  /**
   * Expects a peer while it is dialed, and a while longer if that fails
   *
   * @param ma - what is dialed
   * @param target - what that stands for
   * @param dialing - the dial, which has begun
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

  /** Is somebody expected from there? */
  has (remote: Endpoint): boolean {
    return this.#find(remote) != null
  }

  /**
   * The id of the peer that is expected from there. From the endpoint that was dialed it
   * is one connection, which nobody else can open. From other ports of the host there are
   * a few more, and they don't count for that one
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
