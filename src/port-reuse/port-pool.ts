import pDefer from 'p-defer'
import { familyOf, isWildcard, keyOf, sameEndpoint } from '../endpoint.ts'
import type { Endpoint, Family } from '../endpoint.ts'
import type { DeferredPromise } from 'p-defer'

/** A listener's place in the pool */
export interface PoolEntry {
  /**
   * The listener is about to be bound. Dials of this family that have no other source wait until
   * it is listening, paused or removed, see {@link PortPool.nextStart}
   */
  starting(family: Family): void

  /** The listener is bound to `endpoint`: dials may use it from now on */
  listening(endpoint: Endpoint): void

  /**
   * The listener does not listen at the moment. Dials still use its endpoint, so that peers
   * observe the same address as before
   */
  paused(): void

  /**
   * The listener failed to start or has closed. No further dial uses its endpoint. May be called
   * more than once
   */
  remove(): void
}

/**
 * The endpoints that a transport listens on. Listeners add their endpoints, and dials choose a
 * source among them.
 */
export class PortPool {
  readonly #starting = new Map<PoolEntry, Family>()
  #nextStart: DeferredPromise<void> = pDefer()
  readonly #entries = new Map<PoolEntry, { readonly endpoint: Endpoint, readonly paused: boolean }>()
  #endpoints: readonly Endpoint[] = []
  readonly #onChange: () => void

  /** @param onChange - called when the endpoints have changed */
  constructor (onChange: () => void = () => {}) {
    this.#onChange = onChange
  }

  /** Adds an entry for a listener. Dials use the entry only after `starting` or `listening` */
  add (): PoolEntry {
    const entry: PoolEntry = {
      starting: family => { this.#starting.set(entry, family) },
      listening: endpoint => {
        this.#entries.set(entry, { endpoint, paused: false })
        this.#update(entry)
      },
      paused: () => {
        const { endpoint } = this.#entries.get(entry) ?? {}

        if (endpoint != null) {
          this.#entries.set(entry, { endpoint, paused: true })
          this.#update(entry)
        }
      },
      remove: () => {
        this.#entries.delete(entry)
        this.#update(entry)
      }
    }

    return entry
  }

  /** The distinct endpoints to dial from. The array never changes: each change makes a new one */
  get endpoints (): readonly Endpoint[] {
    return this.#endpoints
  }

  /**
   * Resolves when the next listener has started, or has failed to start. `undefined` if no
   * listener of this family is starting
   */
  nextStart (family: Family): Promise<void> | undefined {
    return [...this.#starting.values()].includes(family) ? this.#nextStart.promise : undefined
  }

  /** Is exactly this endpoint in the pool? */
  has (endpoint: Endpoint): boolean {
    return this.#endpoints.some(listening => sameEndpoint(listening, endpoint))
  }

  /**
   * Does a listener of this pool accept connections on this port, at this address or at an
   * overlapping one? Addresses overlap if one of the two is the wildcard
   */
  holds ({ host, port }: Endpoint): boolean {
    return [...this.#entries.values()].some(({ endpoint, paused }) => {
      return !paused && endpoint.port === port && familyOf(endpoint.host) === familyOf(host) &&
        (endpoint.host === host || isWildcard(endpoint.host) || isWildcard(host))
    })
  }

  #update (started: PoolEntry): void {
    const distinct = new Map([...this.#entries.values()].map(({ endpoint }) => [keyOf(endpoint), endpoint]))

    this.#endpoints = [...distinct.values()]
    this.#starting.delete(started)
    this.#nextStart.resolve()
    this.#nextStart = pDefer()
    this.#onChange()
  }
}
