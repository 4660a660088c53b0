import pDefer from 'p-defer'
import { familyOf, isWildcard, keyOf, sameEndpoint } from '../endpoint.ts'
import type { Endpoint, Family } from '../endpoint.ts'
import type { DeferredPromise } from 'p-defer'

/** A listener's place in the pool */
export interface PoolEntry {
  /**
   * The listener is about to be bound. Until it says where, is paused or is removed, dials of
   * this family that have no other source wait for it, see {@link PortPool.nextStart}
   */
  starting(family: Family): void

  /** The listener is bound to `endpoint`: dials may use it from now on */
  listening(endpoint: Endpoint): void

  /**
   * The listener does not listen at the moment. Dials still use its endpoint, so
   * that the address that peers observe stays the same
   */
  paused(): void

  /**
   * The listener failed to start or has closed: no further dial uses it. May be
   * called more than once
   */
  remove(): void
}

/**
 * The shared pool: which endpoints a transport listens on. Listeners put theirs
 * in, dials ask it for a source.
 */
export class PortPool {
  readonly #starting = new Map<PoolEntry, Family>()
  #nextStart: DeferredPromise<void> = pDefer()
  readonly #entries = new Map<PoolEntry, { readonly endpoint: Endpoint, readonly paused: boolean }>()
  #endpoints: readonly Endpoint[] = []

  /** Makes room for a listener, of which dials know nothing yet */
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

  /** The distinct endpoints to dial from, a snapshot that never changes */
  get endpoints (): readonly Endpoint[] {
    return this.#endpoints
  }

  /**
   * Resolves when the next listener has started, or failed to; `undefined` when none of this
   * family is starting
   */
  nextStart (family: Family): Promise<void> | undefined {
    return [...this.#starting.values()].includes(family) ? this.#nextStart.promise : undefined
  }

  /** Is exactly this endpoint listened on? */
  has (endpoint: Endpoint): boolean {
    return this.#endpoints.some(listening => sameEndpoint(listening, endpoint))
  }

  /**
   * Does a listener of this pool accept connections on this port, at this
   * address or, where one of the two is the wildcard, at an overlapping one?
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
  }
}
