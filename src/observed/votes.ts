import { keyOf } from '../endpoint.ts'
import { natMapping } from './nat-mapping.ts'
import type { NatMapping } from './nat-mapping.ts'
import type { Endpoint } from '../endpoint.ts'

/** How many observers agree on something */
export interface Agreement {
  readonly observers: number

  /** How many of them we dialed. Whoever dials us chose to, and may have come to lie */
  readonly dialed: number
}

/** An external address of a listening endpoint */
export interface ExternalAddress extends Agreement {
  readonly external: Endpoint
}

/**
 * Which addresses come first: those with the most observers that we dialed, then those
 * with the most observers. So strangers that dial us, however many, can't put an address
 * before one that a peer observes that we dialed
 */
export function byAgreement (a: Agreement, b: Agreement): number {
  return b.dialed - a.dialed || b.observers - a.observers
}

interface Counted extends ExternalAddress {
  observers: number
  dialed: number

  /** Of two with the same numbers the one that was seen first comes first */
  readonly age: number
}

/**
 * What the observers of one listening endpoint say, counted as they speak. A vote costs
 * a binary search among the addresses that have votes
 */
export class Votes {
  readonly #addresses = new Map<string, Counted>()
  readonly #ranked: Counted[] = []
  #dialed = 0
  #age = 0

  /** The addresses in the order of {@link byAgreement} */
  get addresses (): readonly ExternalAddress[] {
    return this.#ranked
  }

  /**
   * How the NAT, if there is one, maps the endpoint. Only observers that we dialed tell:
   * one that dialed us repeats what it dialed
   *
   * @param threshold - how many observers it takes to be sure that no two agree
   */
  mapping (threshold: number): NatMapping {
    return natMapping({ observers: this.#dialed, most: this.#ranked[0]?.dialed ?? 0 }, threshold)
  }

  of (external: Endpoint): Agreement {
    return this.#addresses.get(keyOf(external)) ?? { observers: 0, dialed: 0 }
  }

  /**
   * @param external - what an observer sees
   * @param dialed - whether we dialed it
   * @param by - 1 when it begins to say so, -1 when it ends
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
      this.#dialed += by
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
