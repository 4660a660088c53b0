import { keyOf, sameEndpoint } from '../endpoint.ts'
import { isOwnAddress } from '../port-reuse/route.ts'
import { Votes } from './votes.ts'
import type { Dial } from './dials.ts'
import type { Endpoint } from '../endpoint.ts'

/**
 * How long an observation is kept after its connection has closed, in ms. This is longer than
 * {@link MAPPED_AFTER_CLOSE_MS}, because other connections keep the mapping
 */
const KEPT_AFTER_CLOSE_MS = 10 * 60_000

/**
 * How long a NAT keeps the mapping of a closed TCP connection at least, in ms (RFC 5382,
 * section 5: the transitory connection idle-timeout)
 */
const MAPPED_AFTER_CLOSE_MS = 4 * 60_000

/** How many observations one observer can have at a time */
const MAX_PER_OBSERVER = 8

/** How many observations there can be at a time */
const MAX_OBSERVATIONS = 1_000

/** After how many changes of its reports an observer has no vote. A truthful one makes none */
const MAX_CHANGES = 3

/** How long such an observer has no vote, and how long each change is remembered, in ms */
const CHANGES_KEPT_MS = 10 * 60_000

/** Changes of so many observers are remembered. The oldest ones are forgotten first */
const MAX_CHANGING_OBSERVERS = 1_000

/** What a peer reports about one connection */
export interface Observation {
  /** The listening endpoint that the connection came from or arrived at */
  readonly local: Endpoint

  /** The address at which the peer sees `local` */
  readonly external: Endpoint

  /** The site of the peer, see `siteOf`. All peers of one site are one observer */
  readonly observer: string

  /** Did this end dial? */
  readonly dialed: boolean

  /** When the connection began to open, in ms. It is only compared to others */
  readonly began: number

  /**
   * The address of this host that the connection was dialed from, if `isOwnAddress` knows it. If
   * the host no longer has the address, it has changed its network
   */
  readonly source?: string
}

interface Kept extends Observation {
  readonly connection: object

  /** When the connection closed, in ms */
  closed?: number
}

/** A dial, and when its connection closed, in ms */
interface KeptDial extends Dial {
  readonly closed?: number
}

/** The votes about one listening endpoint */
export interface ObservedVotes {
  readonly local: Endpoint
  readonly votes: Votes
}

/**
 * The external addresses of the listening endpoints, as peers report them. Each connection
 * gives one observation. Each observer has one vote for each endpoint, even if it has several
 * connections. Its vote is its report on the newest connection that this end dialed. If there
 * is none, it is its report on the newest connection.
 *
 * The votes are counted as they change. A report only needs a look at the observations of its
 * observer, and a search for the new rank of the address.
 */
export class Observations {
  readonly #byConnection = new Map<object, Kept>()
  readonly #byObserver = new Map<string, Set<Kept>>()
  readonly #byEndpoint = new Map<string, ObservedVotes>()
  readonly #changes = new Changes()

  /** The observations by {@link worthOf}, those of equal worth in the order of time */
  readonly #byWorth: ReadonlyArray<Set<Kept>> = [new Set(), new Set(), new Set(), new Set()]

  /**
   * The peer of `connection` reports the address that it sees. A later report replaces an
   * earlier one.
   *
   * The address of one connection can't change, so a truthful peer never changes its report.
   * An observer loses its vote for ten minutes when it reports a third change, each within ten
   * minutes after the change before. All its reports are forgotten, and new ones are ignored.
   * The changes are counted per observer, so a new connection does not help
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

  /**
   * The connection has closed. Its observation is forgotten ten minutes later
   *
   * @returns false if there is none, or if the connection had closed before
   */
  close (connection: object, now: number = Date.now()): boolean {
    const kept = this.#byConnection.get(connection)

    if (kept == null || kept.closed != null) {
      return false
    }

    this.#byWorth[worthOf(kept)].delete(kept)
    kept.closed = now
    this.#byWorth[worthOf(kept)].add(kept)

    return true
  }

  /** The votes about each listening endpoint that has any */
  endpoints (now: number = Date.now()): ObservedVotes[] {
    this.#forget(now)

    return [...this.#byEndpoint.values()]
  }

  /** The votes about one listening endpoint */
  votes (local: Endpoint, now: number = Date.now()): Votes {
    this.#forget(now)

    return this.#byEndpoint.get(keyOf(local))?.votes ?? new Votes()
  }

  /**
   * The last dial from a listening endpoint to each observer, the newest first. Dials from
   * addresses that this host no longer has are left out. A dial counts as open if the observer
   * reports the same address on any open connection
   */
  dials (local: Endpoint, now: number = Date.now()): KeptDial[] {
    this.#forget(now)
    const dialed = [...this.#byConnection.values()]
      .filter(kept => kept.dialed && sameEndpoint(kept.local, local))
      .sort((a, b) => b.began - a.began)
    const sources = new Set(dialed.map(({ source }) => source))
    const own = new Set([...sources].filter(source => source == null || isOwnAddress(source)))
    const open = new Set<string>()
    const newest = new Map<string, Kept>()

    for (const kept of dialed.filter(({ source }) => own.has(source))) {
      newest.set(kept.observer, newest.get(kept.observer) ?? kept)

      if (kept.closed == null) {
        open.add(reportOf(kept))
      }
    }

    return [...newest.values()].map(kept => ({ external: kept.external, closed: kept.closed, isOpen: open.has(reportOf(kept)) }))
  }

  /**
   * Is the external address of this endpoint known from a dialed peer, and can the NAT be
   * expected to still have this mapping?
   */
  isCurrent (local: Endpoint, now: number = Date.now()): boolean {
    return this.dials(local, now).some(({ isOpen, closed }) => isOpen || now - (closed ?? now) < MAPPED_AFTER_CLOSE_MS)
  }

  /** In how many ms the next observation is forgotten; `undefined` if all connections are open */
  msToExpiry (now: number = Date.now()): number | undefined {
    this.#forget(now)
    const oldest = this.#byWorth.map(([first]) => first?.closed).filter(closed => closed != null)

    return oldest.length === 0 ? undefined : Math.min(...oldest) + KEPT_AFTER_CLOSE_MS - now
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

  /** Runs `change` on the observations of the observer of `kept`, and counts its vote again */
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

/** How often each observer has changed its reports, forgotten ten minutes after the last change */
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
 * When there are too many observations, those of the least worth are dropped first.
 * Observations of inbound connections are worth less than those of dialed ones, so that
 * strangers can't displace a dialed peer. After that, observations of closed connections are
 * worth less than those of open ones, as they are forgotten soon anyway
 */
function worthOf ({ dialed, closed }: Kept): number {
  return (dialed ? 2 : 0) + (closed == null ? 1 : 0)
}

/** The one observation that counts as the observer's vote about an endpoint */
function voteOf (ofObserver: Set<Kept>, local: Endpoint): Kept | undefined {
  let vote: Kept | undefined

  for (const kept of ofObserver) {
    if (sameEndpoint(kept.local, local) && (vote == null || isNewer(kept, vote))) {
      vote = kept
    }
  }

  return vote
}

/** Equal for two connections if the observer sees this node at the same address on both */
function reportOf ({ observer, external }: Kept): string {
  return `${observer} ${keyOf(external)}`
}

/** Dialed connections count more than inbound ones */
function isNewer (a: Kept, b: Kept): boolean {
  return a.dialed === b.dialed ? a.began >= b.began : a.dialed
}
