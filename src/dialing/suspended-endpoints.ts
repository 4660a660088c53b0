import { keyOf, siteOf } from '../endpoint.ts'
import type { Endpoint } from '../endpoint.ts'

/** How many sites in a row must be out of reach from an endpoint before it is suspended */
const UNANSWERING_SITES = 3

/** How long a suspended endpoint is not dialed from */
const SUSPENSION_MS = 10 * 60_000

interface Suspect {
  /** Who could be reached from an ephemeral port only, see {@link siteOf} */
  readonly sites: Set<string>
  suspendedUntil?: number
}

/**
 * Notices that a network drops or refuses connections from a listening port (go-tcp-transport
 * issue 18): several sites in a row could be reached from an ephemeral port, but not from
 * this one. It is then left alone for ten minutes. One dial from it that connects clears the
 * suspicion.
 *
 * Three hostile sites that we dial in a row, without another dial from that port that connects
 * in between, can suspend it on purpose. That costs little enough to be borne. Meanwhile:
 *
 * - Plain dials come from an ephemeral port, as those of `@libp2p/tcp` always do. None fails.
 * - Peers that are dialed then do not see the listening port. What others have observed counts
 * as before, see `observed/observations.ts`.
 * - Hole punches, and the dials that learn an address for them, require the listening port.
 * They don't ask here, and the first of them to connect ends the suspension
 */
export class SuspendedEndpoints {
  readonly #suspects = new Map<string, Suspect>()

  /**
   * A dial from `source` got no answer from `host` or failed, and one from an ephemeral port
   * connected
   *
   * @returns whether that suspends the endpoint, from now on
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
