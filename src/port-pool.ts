import pDefer from 'p-defer'
import type { DeferredPromise } from 'p-defer'

/**
 * An IP address and a TCP port. IPv6 addresses are in their canonical short
 * form, with `%zone` appended where a zone is needed
 */
export interface Endpoint {
  readonly host: string
  readonly port: number
}

/**
 * Which rule of `chooseSources` selected a listening endpoint
 */
export type ReuseReason = 'loopback' | 'route' | 'wildcard'

/**
 * A listening endpoint to dial from
 */
export interface Source extends Endpoint {
  readonly reason: ReuseReason
}

/**
 * What this host knows about a destination and a pure function does not
 */
export interface DestinationFacts {
  /**
   * The local address that the kernel would use to reach the destination, if it
   * was asked
   */
  routeSource?: string

  /**
   * Is this address, which is not loopback, assigned to this host?
   */
  isOwnAddress(host: string): boolean
}

/**
 * A listener's place in the pool, from the moment that it begins to listen
 */
export interface PoolEntry {
  /**
   * The listener is bound to `endpoint`: dials may use it from now on
   */
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

export type Family = 4 | 6

export function familyOf (host: string): Family {
  return host.includes(':') ? 6 : 4
}

export function isLoopback (host: string): boolean {
  return host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

export function isWildcard (host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

/**
 * The listening endpoints that a dial to `destination` should come from, best
 * first. An empty list means that only an ephemeral port will do.
 *
 * 1. To a loopback address: the loopback endpoints, in random order.
 * 2. The endpoints on the address that the kernel would use as source, in random order.
 * 3. The wildcard endpoints, in random order.
 *
 * Never an endpoint of the other address family, a loopback endpoint for a
 * destination that is not loopback (Linux refuses it with EINVAL), or one from
 * which the socket would connect to itself instead of to the listener (same
 * address and port at both ends).
 *
 * The order is that of go-libp2p's `reuseport` transport.
 */
export function chooseSources (listening: readonly Endpoint[], destination: Endpoint, facts: DestinationFacts): Source[] {
  const usable = shuffle(listening.filter(endpoint => {
    return familyOf(endpoint.host) === familyOf(destination.host) && !wouldConnectToItself(endpoint, destination, facts)
  }))

  const matching = (reason: ReuseReason, matches: (host: string) => boolean): Source[] => {
    return usable.filter(({ host }) => matches(host)).map(({ host, port }) => ({ host, port, reason }))
  }

  return [
    ...(isLoopback(destination.host) ? matching('loopback', isLoopback) : []),
    ...matching('route', host => host === facts.routeSource && !isLoopback(host)),
    ...matching('wildcard', isWildcard)
  ]
}

/**
 * The shared pool: which endpoints a transport listens on. Listeners put theirs
 * in, dials ask it for a source.
 */
export class PortPool {
  readonly #starting = new Set<PoolEntry>()
  #nextStart: DeferredPromise<void> = pDefer()
  readonly #entries = new Map<PoolEntry, { readonly endpoint: Endpoint, readonly paused: boolean }>()
  #endpoints: readonly Endpoint[] = []

  /**
   * A listener begins to listen. Until the entry says where, or is removed, dials that
   * have no other source wait for it, see {@link PortPool.nextStart}
   */
  add (): PoolEntry {
    const entry: PoolEntry = {
      listening: endpoint => {
        this.#entries.set(entry, { endpoint, paused: false })
        this.#update(entry)
      },
      paused: () => {
        const { endpoint } = this.#entries.get(entry) ?? {}

        if (endpoint != null) {
          this.#entries.set(entry, { endpoint, paused: true })
        }
      },
      remove: () => {
        this.#entries.delete(entry)
        this.#update(entry)
      }
    }

    this.#starting.add(entry)

    return entry
  }

  /**
   * The distinct endpoints to dial from, a snapshot that never changes
   */
  get endpoints (): readonly Endpoint[] {
    return this.#endpoints
  }

  /**
   * Resolves when the next listener has started, or failed to; `undefined` when none is
   * starting
   */
  nextStart (): Promise<void> | undefined {
    return this.#starting.size === 0 ? undefined : this.#nextStart.promise
  }

  /**
   * Is some listener of this family bound to an address that is neither
   * loopback nor the wildcard? Only then does a dial need to know its route
   */
  needsRoute (family: Family): boolean {
    return this.#endpoints.some(({ host }) => familyOf(host) === family && !isLoopback(host) && !isWildcard(host))
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
    const distinct = new Map([...this.#entries.values()].map(({ endpoint }) => [`${endpoint.host} ${endpoint.port}`, endpoint]))

    this.#endpoints = [...distinct.values()]
    this.#starting.delete(started)
    this.#nextStart.resolve()
    this.#nextStart = pDefer()
  }
}

function wouldConnectToItself (source: Endpoint, destination: Endpoint, facts: DestinationFacts): boolean {
  if (source.port !== destination.port) {
    return false
  }

  if (isWildcard(source.host)) {
    // for a destination on this host, the kernel uses that very address as source
    return isLoopback(destination.host) || facts.isOwnAddress(destination.host)
  }

  return source.host === destination.host
}

function shuffle <T> (values: T[]): T[] {
  for (let i = values.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [values[i], values[j]] = [values[j], values[i]]
  }

  return values
}
