import { keyOf, siteOf } from '../endpoint.ts'
import type { Endpoint } from '../endpoint.ts'

/** An endpoint is suspended when so many sites in a row could not be reached from it */
const UNANSWERING_SITES = 3

/** How long no dial comes from a suspended endpoint, in ms */
const SUSPENSION_MS = 10 * 60_000

interface Suspect {
  /** The sites that could only be reached from an ephemeral port, see {@link siteOf} */
  readonly sites: Set<string>
  suspendedUntil?: number
}

/**
 * Notices that a network drops or refuses connections from a listening port (go-tcp-transport
 * issue 18). Then several sites in a row can be reached from an ephemeral port, but not from
 * this port. The endpoint is suspended: no plain dial comes from it for ten minutes. One dial
 * from the endpoint that connects ends the suspicion.
 *
 * Three hostile sites can suspend an endpoint on purpose: if this node dials them in a row, and
 * no other dial from the endpoint connects in between. This does little harm:
 *
 * - Plain dials come from an ephemeral port, as dials of `@libp2p/tcp` always do. None fails.
 * - Peers that are dialed meanwhile do not see the listening port. Addresses that other peers
 * have observed count as before, see `observed/observations.ts`.
 * - Hole punches, and the dials that learn an address for them, require the listening port. The
 * suspension does not apply to them, and the first one that connects ends the suspension
 */
export class SuspendedEndpoints {
  readonly #suspects = new Map<string, Suspect>()

  /**
   * A dial from `source` to `host` got no answer or failed, and a dial from an ephemeral port
   * connected
   *
   * @returns whether this dial has suspended the endpoint
   */
  unanswered (source: Endpoint, host: string, now: number = Date.now()): boolean {
    const suspect: Suspect = this.#suspects.get(keyOf(source)) ?? { sites: new Set() }
    this.#suspects.set(keyOf(source), suspect)
    suspect.sites.add(siteOf(host))

    if (suspect.suspendedUntil != null || suspect.sites.size < UNANSWERING_SITES) {
      return false
    }

    suspect.suspendedUntil = now + SUSPENSION_MS

    return true
  }

  /** A dial from `source` connected */
  answered (source: Endpoint): void {
    if (this.#suspects.size > 0) {
      this.#suspects.delete(keyOf(source))
    }
  }

  has (source: Endpoint, now: number = Date.now()): boolean {
    const suspendedUntil = this.#suspects.size === 0 ? undefined : this.#suspects.get(keyOf(source))?.suspendedUntil

    if (suspendedUntil == null) {
      return false
    }

    if (now < suspendedUntil) {
      return true
    }

    this.#suspects.delete(keyOf(source))

    return false
  }

  /** How many endpoints are suspended */
  count (now: number = Date.now()): number {
    return [...this.#suspects.values()].filter(({ suspendedUntil = 0 }) => now < suspendedUntil).length
  }
}
