/**
 * Whose turn it is, and how many have theirs at a time. Peers decide when a hole is punched
 * and what is dialed for it. These limits keep them from taking all that the node has:
 *
 * | | in all | over one relay | of one peer | how long, at most |
 * |---|---|---|---|---|
 * | exchanges with peers that dialed us over a relay | 256 | 128 | 1 | 3 attempts of 5 s |
 * | dials to these peers | 64 | 32 | 8 | 2 s (plain), 5 s (punch) |
 * | dials to peers that we dialed over a relay | 32 | 16 | 8 | 5 s |
 * | names that are looked up | 2 | 1 | 1 | until the resolver answers |
 *
 * The 5 s are the option `timeout`, the 3 attempts `retries`.
 *
 * - An *exchange* of addresses costs a stream and messages of 4 KiB at most, so there is room
 * for many. A peer that never answers holds up nobody else. Its second relayed connection
 * waits, further ones are dropped. 500 wait in all.
 * - *Dials* are scarce: with the 2 of the address learner there are 98 at a time, fewer than
 * the 100 of libp2p's dial queue (`maxParallelDials`). The kernel sends 2 SYNs in 2 s or 3 in
 * 5 s to an address that does not answer, so these are less than 100 SYNs (8 kB) a second in
 * all, and 32 a second for those that dial us over one relay.
 * - One relayed connection comes to 32 dials in a minute at most: 8 plain ones and 3 punches.
 * A peer whose addresses do not answer has 8 places for 17 s. After that it has failed, and
 * waits behind those that have not.
 * - *Names* are looked up by libuv's threads, which are four for the whole process. A lookup
 * that a slow server holds up can't be ended.
 *
 * Four peers, or one person with four peer ids, can fill the share of a relay with addresses
 * that do not answer. They can go on with new peer ids. Then hole punches over this relay wait
 * for each other, and those over others do not. A node chooses the relays that it is dialed
 * over.
 */

import { QueueFullError } from '@libp2p/utils'
import { abortError, throwIfAborted } from '../abort.ts'

/** How long a failure is remembered, in ms, and of how many peers */
const FAILURE_MS = 10 * 60_000
const MAX_FAILED_PEERS = 1_000

/** Who wants a place: a peer that we are connected to over a relay */
export interface Asker {
  readonly peer: string
  readonly relay: string
}

/** How many have a place at a time, and how many wait for one */
export interface Limits {
  readonly all: number
  readonly ofRelay: number
  readonly ofPeer: number

  /** @default Infinity */
  readonly waiting?: number

  /** @default Infinity */
  readonly waitingOfPeer?: number
}

interface Waiting extends Asker {
  /** Gives it a place */
  admit(): void
}

/** Places for something that is scarce, which are taken in turn */
export class Turns {
  readonly #limits: Required<Limits>
  readonly #failed: Pick<FailedPeers, 'has'>
  readonly #ofPeer = new Map<string, number>()
  readonly #ofRelay = new Map<string, number>()
  readonly #waiting = new Set<Waiting>()
  #all = 0

  constructor (limits: Limits, failed: Pick<FailedPeers, 'has'>) {
    this.#limits = { waiting: Infinity, waitingOfPeer: Infinity, ...limits }
    this.#failed = failed
  }

  /** Is there a place now? */
  hasRoom ({ peer, relay }: Asker): boolean {
    const { all, ofPeer, ofRelay } = this.#limits

    return this.#all < all && (this.#ofRelay.get(relay) ?? 0) < ofRelay && (this.#ofPeer.get(peer) ?? 0) < ofPeer
  }

  /**
   * Runs `job` when there is a place, which it has until it settles. The signal ends the wait,
   * not the job. Those that have failed before wait behind those that have not, and then those
   * that have more places already behind those that have fewer
   *
   * @throws {QueueFullError} if there are too many that wait
   * @throws {AbortError} if the signal aborts before there is a place
   */
  async run <T> (asker: Asker, signal: AbortSignal, job: () => Promise<T>): Promise<T> {
    throwIfAborted(signal)

    if (this.hasRoom(asker)) {
      this.#count(asker, 1)
    } else {
      await this.#wait(asker, signal)
    }

    try {
      return await job()
    } finally {
      this.#count(asker, -1)

      // a relay and a peer may have had no room each, and there are others of both
      for (let next = this.#next(); next != null; next = this.#next()) {
        next.admit()
      }
    }
  }

  async #wait ({ peer, relay }: Asker, signal: AbortSignal): Promise<void> {
    const { waiting, waitingOfPeer } = this.#limits

    if (this.#waiting.size >= waiting || (waitingOfPeer < Infinity && [...this.#waiting].filter(other => other.peer === peer).length >= waitingOfPeer)) {
      throw new QueueFullError(`${peer} can't wait for a hole punch, as too many do`)
    }

    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.delete(asker)
        signal.removeEventListener('abort', onAbort)
      }
      const onAbort = (): void => {
        leave()
        reject(abortError(signal))
      }
      const asker: Waiting = {
        peer,
        relay,
        admit: () => {
          leave()
          this.#count(asker, 1)
          resolve()
        }
      }

      this.#waiting.add(asker)
      signal.addEventListener('abort', onAbort)
    })
  }

  /** Who is next of those for whom there is room */
  #next (): Waiting | undefined {
    let next: Waiting | undefined

    for (const asker of this.#waiting) {
      if (this.hasRoom(asker) && (next == null || this.#isBefore(asker, next))) {
        next = asker
      }
    }

    return next
  }

  #isBefore (a: Asker, b: Asker): boolean {
    const failures = Number(this.#failed.has(a.peer)) - Number(this.#failed.has(b.peer))
    const places = (this.#ofPeer.get(a.peer) ?? 0) - (this.#ofPeer.get(b.peer) ?? 0)

    return failures === 0 ? places < 0 : failures < 0
  }

  #count ({ peer, relay }: Asker, change: number): void {
    this.#all += change
    add(this.#ofPeer, peer, change)
    add(this.#ofRelay, relay, change)
  }
}

/** The peers that no direct connection came about with, the last thousand, for ten minutes */
export class FailedPeers {
  /** Until when, in order */
  readonly #peers = new Map<string, number>()

  add (peer: string, now: number = Date.now()): void {
    this.delete(peer)
    this.#peers.set(peer, now + FAILURE_MS)

    if (this.#peers.size > MAX_FAILED_PEERS) {
      const [oldest] = this.#peers.keys()
      this.#peers.delete(oldest)
    }
  }

  delete (peer: string): void {
    this.#peers.delete(peer)
  }

  has (peer: string, now: number = Date.now()): boolean {
    return (this.#peers.get(peer) ?? 0) > now
  }
}

function add (counts: Map<string, number>, key: string, change: number): void {
  const count = (counts.get(key) ?? 0) + change

  if (count === 0) {
    counts.delete(key)
  } else {
    counts.set(key, count)
  }
}
