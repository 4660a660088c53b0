import { keyOf } from '../endpoint.ts'
import type { Endpoint } from '../endpoint.ts'

/** How many observers agree on an address */
export interface Agreement {
  readonly observers: number

  /**
   * How many of the observers were dialed by this node. Inbound peers count less: a liar can
   * dial this node in order to lie
   */
  readonly dialed: number
}

/** An external address of a listening endpoint */
export interface ExternalAddress extends Agreement {
  readonly external: Endpoint
}

/**
 * The order of addresses: those with the most dialed observers come first, then those with the
 * most observers. So no number of strangers that dial this node can put their address before
 * the address that a dialed peer observes
 */
export function byAgreement (a: Agreement, b: Agreement): number {
  return b.dialed - a.dialed || b.observers - a.observers
}

interface Counted extends ExternalAddress {
  observers: number
  dialed: number

  /** If the numbers are equal, the address that was reported first comes first */
  readonly age: number
}

/**
 * The votes of the observers of one listening endpoint, counted as they come. A vote costs a
 * binary search among the addresses that have votes
 */
export class Votes {
  readonly #addresses = new Map<string, Counted>()
  readonly #ranked: Counted[] = []
  #age = 0

  /** The addresses in the order of {@link byAgreement} */
  get addresses (): readonly ExternalAddress[] {
    return this.#ranked
  }

  of (external: Endpoint): Agreement {
    return this.#addresses.get(keyOf(external)) ?? { observers: 0, dialed: 0 }
  }

  /**
   * @param external - the address that an observer reports
   * @param dialed - whether this node dialed the observer
   * @param by - 1 to add the vote, -1 to take it back
   */
  count (external: Endpoint, dialed: boolean, by: 1 | -1): void {
    const key = keyOf(external)
    const known = this.#addresses.get(key)
    const address = known ?? { external, observers: 0, dialed: 0, age: this.#age++ }

    if (known != null) {
      this.#ranked.splice(this.#placeOf(known), 1)
    }

    address.observers += by

    if (dialed) {
      address.dialed += by
    }

    if (address.observers === 0) {
      this.#addresses.delete(key)
      return
    }

    this.#addresses.set(key, address)
    this.#ranked.splice(this.#placeOf(address), 0, address)
  }

  #placeOf (address: Counted): number {
    let low = 0
    let high = this.#ranked.length

    while (low < high) {
      const middle = (low + high) >>> 1
      const other = this.#ranked[middle]

      if ((byAgreement(other, address) || other.age - address.age) < 0) {
        low = middle + 1
      } else {
        high = middle
      }
    }

    return low
  }
}
