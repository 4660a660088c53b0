import { ACCEPTED_SILENCE, FIRST_RETRANSMISSION } from './first-bytes.ts'
import type { Endpoint } from '../endpoint.ts'

/**
 * How long the peer's own dial may still arrive, and be upgraded, when ours have failed,
 * in ms. They fail at once if its SYN was here first: then the kernel has the connection
 * already, and accepts it no later than its SYN-ACK was sent again
 */
export const LATE_ARRIVAL = FIRST_RETRANSMISSION + ACCEPTED_SILENCE + 1_000

/**
 * How many connections from other ports of the host that was dialed may be the peer's. A
 * symmetric NAT gives it another port than the one that was observed. But its neighbours
 * behind the NAT have that host as well
 */
const MAX_FROM_OTHER_PORTS = 3

interface Punch {
  readonly endpoint: Partial<Endpoint>

  /**
   * The id of the peer
   */
  readonly peer?: string
}

interface ExpectedPunch extends Punch {
  fromOtherPorts: number
}

/**
 * Whom we punch a hole to at the moment, as the initiator. The dial of such a peer may
 * arrive at a listener instead
 */
export class PunchedPeers {
  readonly #punches = new Set<ExpectedPunch>()

  /**
   * Dials a peer, which is expected from now on, and a while longer if the dial fails
   */
  async during <T> (punch: Punch, dial: () => Promise<T>): Promise<T> {
    const expected = { ...punch, fromOtherPorts: MAX_FROM_OTHER_PORTS }
    const forget = (): void => { this.#punches.delete(expected) }
    this.#punches.add(expected)

    try {
      const result = await dial()
      forget()

      return result
    } catch (err: any) {
      if (err.name === 'AbortError') {
        forget()
      } else {
        setTimeout(forget, LATE_ARRIVAL).unref()
      }

      throw err
    }
  }

  /**
   * Is somebody expected from there?
   */
  has (remote: Endpoint): boolean {
    return this.#find(remote) != null
  }

  /**
   * The id of the peer that is expected from there. From the endpoint that was dialed it
   * is one connection, which nobody else can open. From other ports of the host there are
   * a few more, and they don't count for that one
   */
  take (remote: Endpoint): string | undefined {
    const punch = this.#find(remote)

    if (punch?.endpoint.port === remote.port) {
      this.#punches.delete(punch)
    } else if (punch != null) {
      punch.fromOtherPorts--
    }

    return punch?.peer
  }

  #find ({ host, port }: Endpoint): ExpectedPunch | undefined {
    const there = [...this.#punches].filter(({ endpoint }) => endpoint.host === host)

    return there.find(({ endpoint }) => endpoint.port === port) ?? there.find(({ fromOtherPorts }) => fromOtherPorts > 0)
  }
}
