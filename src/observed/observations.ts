import { keyOf, sameEndpoint } from '../endpoint.ts'
import { Votes } from './votes.ts'
import type { Endpoint } from '../endpoint.ts'

/**
 * How long an observation is kept after its connection has closed: longer than
 * {@link MAPPED_AFTER_CLOSE_MS}, as other connections keep the mapping
 */
const KEPT_AFTER_CLOSE_MS = 10 * 60_000

/**
 * How long a NAT keeps the mapping of a TCP connection that has closed, at least (RFC 5382,
 * section 5: the transitory connection idle-timeout)
 */
const MAPPED_AFTER_CLOSE_MS = 4 * 60_000

/** How many observations one observer can have at a time */
const MAX_PER_OBSERVER = 8

/** How many observations there can be at a time */
const MAX_OBSERVATIONS = 1_000

/** After how many changes of its word an observer has no vote. A truthful one makes none */
const MAX_CHANGES = 3

/** How long such an observer has no vote, and how long any change is remembered */
const CHANGES_KEPT_MS = 10 * 60_000

/** Of how many observers changes are remembered at most. The oldest ones are forgotten first */
const MAX_CHANGING_OBSERVERS = 1_000

/** What a peer says about one connection */
export interface Observation {
  /** The listening endpoint that the connection came from or arrived at */
  readonly local: Endpoint

  /** The address that the peer sees for it */
  readonly external: Endpoint

  /** Who counts as one, see `siteOf` */
  readonly observer: string

  /** Did we dial? */
  readonly dialed: boolean
}

interface Kept extends Observation {
  readonly connection: object

  /** When the connection closed, in ms */
  closed?: number
}

/** What is said of one listening endpoint */
export interface ObservedVotes {
  readonly local: Endpoint
  readonly votes: Votes
}

/**
 * What peers see our listening endpoints as. Each connection gives one observation; each
 * observer has one vote for each endpoint, however many connections it has: what it said
 * last on one that we dialed, or else on any.
 *
 * The votes are counted as they change. A message costs no more than what one observer
 * can have, and the place of an address among the others.
 */
export class Observations {
  readonly #byConnection = new Map<object, Kept>()
  readonly #byObserver = new Map<string, Set<Kept>>()
  readonly #byEndpoint = new Map<string, ObservedVotes>()
  readonly #changes = new Changes()

  /** By {@link worthOf}, each in the order of time */
  readonly #byWorth: ReadonlyArray<Set<Kept>> = [new Set(), new Set(), new Set(), new Set()]

  /**
   * The peer at the other end of `connection` reports what it sees. A later report
   * replaces an earlier one.
   *
   * What a peer truthfully sees on one connection can't change. An observer that reports a
   * third change, each within ten minutes of the one before, has no vote for the next ten
   * minutes: all that it said is forgotten, and what it says is ignored. This counts per
   * observer, so that a new connection does not help
   *
   * @returns false if the observer has no vote
   */
  add (connection: object, observation: Observation, now: number = Date.now()): boolean {
    const { observer, external } = observation
    this.#forget(now)
    const earlier = this.#byConnection.get(connection)

    if (earlier != null && !sameEndpoint(earlier.external, external)) {
      this.#changes.add(observer, now)
    }

    if (this.#changes.areTooMany(observer, now)) {
      this.#byObserver.get(observer)?.forEach(kept => { this.#remove(kept) })

      return false
    }

    this.#remove(earlier)
    this.#insert({ ...observation, connection })

    const ofObserver = [...this.#byObserver.get(observer) ?? []]

    if (ofObserver.length > MAX_PER_OBSERVER) {
      this.#remove(ofObserver.reduce((worst, kept) => worthOf(kept) < worthOf(worst) ? kept : worst))
    }

    if (this.#byConnection.size > MAX_OBSERVATIONS) {
      const [worst] = this.#byWorth.find(({ size }) => size > 0) ?? []
      this.#remove(worst)
    }

    return true
  }

  /** The connection has closed: its observation will be forgotten in ten minutes */
  close (connection: object, now: number = Date.now()): void {
    const kept = this.#byConnection.get(connection)

    if (kept != null && kept.closed == null) {
      this.#byWorth[worthOf(kept)].delete(kept)
      kept.closed = now
      this.#byWorth[worthOf(kept)].add(kept)
    }
  }

  /** What is said of each listening endpoint that anything is said of */
  endpoints (now: number = Date.now()): ObservedVotes[] {
    this.#forget(now)

    return [...this.#byEndpoint.values()]
  }

  /** What is said of one listening endpoint */
  votes (local: Endpoint, now: number = Date.now()): Votes {
    this.#forget(now)

    return this.#byEndpoint.get(keyOf(local))?.votes ?? new Votes()
  }

  /**
   * Has a peer that we dialed from this endpoint told what it sees, and can the NAT be
   * expected to map the endpoint to that still?
   */
  isCurrent (local: Endpoint, now: number = Date.now()): boolean {
    return [...this.#byConnection.values()].some(kept => {
      return kept.dialed && sameEndpoint(kept.local, local) && now - (kept.closed ?? now) < MAPPED_AFTER_CLOSE_MS
    })
  }

  #forget (now: number): void {
    for (const ofSameWorth of this.#byWorth) {
      for (const kept of ofSameWorth) {
        if (kept.closed == null || now - kept.closed < KEPT_AFTER_CLOSE_MS) {
          break
        }

        this.#remove(kept)
      }
    }
  }

  #insert (kept: Kept): void {
    this.#recount(kept, ofObserver => {
      this.#byConnection.set(kept.connection, kept)
      this.#byWorth[worthOf(kept)].add(kept)
      ofObserver.add(kept)
    })
  }

  #remove (kept?: Kept): void {
    if (kept == null) {
      return
    }

    this.#recount(kept, ofObserver => {
      this.#byConnection.delete(kept.connection)
      this.#byWorth[worthOf(kept)].delete(kept)
      ofObserver.delete(kept)
    })
  }

  /** Lets `change` change what the observer of `kept` says, and counts its vote anew */
  #recount ({ local, observer }: Kept, change: (ofObserver: Set<Kept>) => void): void {
    const ofObserver = this.#byObserver.get(observer) ?? new Set()
    const before = voteOf(ofObserver, local)
    change(ofObserver)
    const after = voteOf(ofObserver, local)

    if (ofObserver.size > 0) {
      this.#byObserver.set(observer, ofObserver)
    } else {
      this.#byObserver.delete(observer)
    }

    const key = keyOf(local)
    const endpoint = this.#byEndpoint.get(key) ?? { local, votes: new Votes() }

    if (before != null) {
      endpoint.votes.count(before.external, before.dialed, -1)
    }

    if (after != null) {
      endpoint.votes.count(after.external, after.dialed, 1)
    }

    if (endpoint.votes.addresses.length > 0) {
      this.#byEndpoint.set(key, endpoint)
    } else {
      this.#byEndpoint.delete(key)
    }
  }
}

/** How often each observer has changed its word, until it has not done so for ten minutes */
class Changes {
  /** In the order of the last change */
  readonly #byObserver = new Map<string, { readonly count: number, readonly last: number }>()

  add (observer: string, now: number): void {
    this.#forget(now)
    const count = (this.#byObserver.get(observer)?.count ?? 0) + 1
    this.#byObserver.delete(observer)
    this.#byObserver.set(observer, { count, last: now })

    if (this.#byObserver.size > MAX_CHANGING_OBSERVERS) {
      const [oldest] = this.#byObserver.keys()
      this.#byObserver.delete(oldest)
    }
  }

  areTooMany (observer: string, now: number): boolean {
    this.#forget(now)

    return (this.#byObserver.get(observer)?.count ?? 0) >= MAX_CHANGES
  }

  #forget (now: number): void {
    for (const [observer, { last }] of this.#byObserver) {
      if (now - last < CHANGES_KEPT_MS) {
        break
      }

      this.#byObserver.delete(observer)
    }
  }
}

/**
 * When there are too many observations, those of the least worth are dropped first: those of
 * inbound connections, so that strangers can't displace a peer that we dialed, and among them
 * those of closed connections, which are forgotten soon anyway
 */
function worthOf ({ dialed, closed }: Kept): number {
  return (dialed ? 2 : 0) + (closed == null ? 1 : 0)
}

/** What counts of all that one observer says of an endpoint */
function voteOf (ofObserver: Set<Kept>, local: Endpoint): Kept | undefined {
  let vote: Kept | undefined

  for (const kept of ofObserver) {
    if (sameEndpoint(kept.local, local) && (kept.dialed || vote?.dialed !== true)) {
      vote = kept
    }
  }

  return vote
}
