import { natMapping } from './nat-mapping.ts'
import type { NatMapping } from './nat-mapping.ts'
import type { Endpoint } from '../port-pool.ts'

/**
 * How long an observation is kept after its connection has closed, in ms. A NAT
 * keeps the mapping of a closed TCP connection for at least four minutes
 * (RFC 5382, section 5), and other connections keep it longer
 */
const KEPT_AFTER_CLOSE = 10 * 60_000

/**
 * How many observations one observer can have at a time
 */
const MAX_PER_OBSERVER = 8

/**
 * How many observations there can be at a time
 */
const MAX_OBSERVATIONS = 1_000

/**
 * What a peer says about one connection
 */
export interface Observation {
  /**
   * The listening endpoint that the connection came from or arrived at
   */
  readonly local: Endpoint

  /**
   * The address that the peer sees for it
   */
  readonly external: Endpoint

  /**
   * Who counts as one, see `observerOf`
   */
  readonly observer: string

  /**
   * Did we dial? Only then it tells how a NAT maps the endpoint: a peer that
   * dialed us repeats what it dialed
   */
  readonly dialed: boolean
}

/**
 * An external address of a listening endpoint
 */
export interface ExternalAddress {
  readonly local: Endpoint
  readonly external: Endpoint

  /**
   * How many observers agree on it
   */
  readonly observers: number
}

/**
 * What peers see our listening endpoints as. Each connection gives one
 * observation; each observer counts once for an address, however many
 * connections it has
 */
export class Observations {
  readonly #observations = new Map<object, Observation & { readonly closed?: number }>()

  /**
   * The peer at the other end of `connection` reports what it sees. A later
   * report replaces an earlier one
   */
  add (connection: object, observation: Observation, now: number = Date.now()): void {
    this.#forget(now)
    this.#observations.delete(connection)

    const ofObserver = [...this.#observations].filter(([, { observer }]) => observer === observation.observer)

    if (ofObserver.length >= MAX_PER_OBSERVER) {
      this.#observations.delete(ofObserver[0][0])
    }

    if (this.#observations.size >= MAX_OBSERVATIONS) {
      // the ones that will be forgotten anyway go first
      const [oldest] = [...this.#observations].find(([, { closed }]) => closed != null) ?? [...this.#observations][0]
      this.#observations.delete(oldest)
    }

    this.#observations.set(connection, observation)
  }

  /**
   * The connection has closed: its observation will be forgotten in ten minutes
   */
  close (connection: object, now: number = Date.now()): void {
    const observation = this.#observations.get(connection)

    if (observation != null) {
      this.#observations.set(connection, { ...observation, closed: now })
    }
  }

  /**
   * The external addresses, those that most observers agree on first
   */
  addresses (now: number = Date.now()): ExternalAddress[] {
    this.#forget(now)

    const found = new Map<string, { local: Endpoint, external: Endpoint, observers: Set<string> }>()

    for (const { local, external, observer } of this.#observations.values()) {
      const key = `${keyOf(local)} ${keyOf(external)}`
      const address = found.get(key) ?? { local, external, observers: new Set() }
      address.observers.add(observer)
      found.set(key, address)
    }

    return [...found.values()]
      .map(({ local, external, observers }) => ({ local, external, observers: observers.size }))
      .sort((a, b) => b.observers - a.observers)
  }

  /**
   * How the NAT, if there is one, maps this endpoint
   *
   * @param local - the listening endpoint
   * @param threshold - how many observers it takes to be sure that no two agree
   * @param now - the time, in ms
   */
  mapping (local: Endpoint, threshold: number, now: number = Date.now()): NatMapping {
    this.#forget(now)

    const latest = new Map<string, string>()

    for (const { local: { host, port }, external, observer, dialed } of this.#observations.values()) {
      if (dialed && host === local.host && port === local.port) {
        latest.set(observer, keyOf(external))
      }
    }

    return natMapping([...latest.values()], threshold)
  }

  #forget (now: number): void {
    for (const [connection, { closed }] of this.#observations) {
      if (closed != null && now - closed >= KEPT_AFTER_CLOSE) {
        this.#observations.delete(connection)
      }
    }
  }
}

function keyOf ({ host, port }: Endpoint): string {
  return `${host} ${port}`
}
