import type { Endpoint } from './port-pool.ts'

/**
 * How long the peer's own dial may still arrive when ours have failed, in ms. They
 * fail at once if its SYN was here first: then the kernel has the connection already
 */
export const LATE_ARRIVAL = 2_000

interface Punch {
  readonly endpoint: Partial<Endpoint>

  /**
   * The id of the peer
   */
  readonly peer?: string
}

/**
 * Whom we punch a hole to at the moment, as the initiator. The dial of such a peer may
 * arrive at a listener instead
 */
export class PunchedPeers {
  readonly #punches = new Set<Punch>()

  /**
   * Dials a peer, which is expected from now on, and a while longer if the dial fails
   */
  async during <T> (punch: Punch, dial: () => Promise<T>): Promise<T> {
    const forget = (): void => { this.#punches.delete(punch) }
    this.#punches.add(punch)

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
   * Is somebody expected from this host?
   */
  has ({ host }: Endpoint): boolean {
    return [...this.#punches].some(({ endpoint }) => endpoint.host === host)
  }

  /**
   * The id of the peer that was expected from there, and is not any more: of one host
   * no more connections are taken for that peer's than there were dials to it
   */
  take ({ host, port }: Endpoint): string | undefined {
    const there = [...this.#punches].filter(({ endpoint }) => endpoint.host === host)
    const punch = there.find(({ endpoint }) => endpoint.port === port) ?? there[0]
    this.#punches.delete(punch)

    return punch?.peer
  }
}
