import { keyOf, siteOf } from '../endpoint.ts'
import type { Endpoint } from '../endpoint.ts'

/** How many sites in a row must be out of reach for an endpoint before it is suspended */
const UNANSWERING_SITES = 3

/** How long a suspended endpoint is not dialed from */
const SUSPENSION_MS = 10 * 60_000

interface Suspect {
  /** Who did not answer the endpoint, but answered an ephemeral port, see {@link siteOf} */
  readonly sites: Set<string>
  suspendedUntil?: number
}

/**
 * Notices that a network does not like connections from a listening port
 * (go-tcp-transport issue 18): several destinations in a row gave it no answer
 * and answered an ephemeral port. It is then left alone for ten minutes. One
 * dial from it that connects clears the suspicion.
 */
export class SuspendedEndpoints {
  readonly #suspects = new Map<string, Suspect>()

  /**
   * `host` did not answer a dial from `source`, but answered one from an
   * ephemeral port
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
