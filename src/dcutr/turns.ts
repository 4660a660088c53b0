/**
 * Whose turn it is, and how many have their turn at a time. Peers decide when a hole is punched
 * and which addresses are dialed for it. These limits keep peers from using up the resources of
 * the node:
 *
 * | | in all | over one relay | of one peer | how long, at most |
 * |---|---|---|---|---|
 * | exchanges with peers that dialed this node over a relay | 256 | 128 | 1 | 3 attempts of 5 s, and their punches |
 * | dials to these peers | 64 | 32 | 8 | 3 s (plain), `punch-limits.ts` (punch) |
 * | dials to peers that this node dialed over a relay | 32 | 16 | 8 | `punch-limits.ts` |
 * | names that are looked up | 2 | 1 | 1 | until the resolver answers |
 *
 * A punch takes 3.3 s if no address answers and the peer is near, 5.3 s if it is far. An address
 * that connects may take 10 s more. The 3 attempts are the option `retries`. The option `timeout`
 * limits an exchange and its punch together.
 *
 * - An *exchange* of addresses costs a stream and messages of at most 4 KiB, so there is room
 * for many. A peer that never answers delays no other peer. The second relayed connection of a
 * peer waits, further ones are dropped. At most 500 wait in all.
 * - *Dials* are scarce. With the 2 dials of the address learner there are 98 at a time, fewer
 * than the 100 of libp2p's dial queue (`maxParallelDials`). To an address that does not answer,
 * the kernel sends 2 or 3 SYNs in 3.3 s. This is less than 100 SYNs (8 kB) a second in all, and 32 SYNs a second for the peers that dial this node over one relay.
 * - One relayed connection causes at most 32 dials in a minute: 8 plain dials, and 8 dials in
 * each of 3 punches. A peer whose addresses do not answer uses 8 places for 10 to 16 s, or for 46 s
 * if they connect and are silent. Then it has failed, and waits behind the peers that have not
 * failed.
 * - *Names* are looked up by libuv's threads. There are four for the whole process. A lookup
 * that waits for a slow server can't be ended.
 *
 * Four peers, or one attacker with four peer ids, can fill the share of a relay with addresses
 * that do not answer. They can go on with new peer ids. Hole punches over this relay then wait
 * for each other. Hole punches over other relays do not wait. A node chooses its own relays.
 */

import { QueueFullError } from '@libp2p/utils'
import { abortError, throwIfAborted } from '../abort.ts'

/** How long a failure is remembered, in ms, and for how many peers */
const FAILURE_MS = 10 * 60_000
const MAX_FAILED_PEERS = 1_000

/** A peer that wants a place. It is connected over a relay */
export interface Asker {
  readonly peer: string
  readonly relay: string
}

/** How many places there are, and how many may wait for one */
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
  /** Gives the asker a place */
  admit(): void
}

/** A limited number of places, which are taken in turn */
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
   * Runs `job` when there is a place. The job keeps the place until it settles. The signal ends
   * the wait, not the job. Peers that have not failed come before peers that have. Among them,
   * peers with fewer places come first
   *
   * @throws {QueueFullError} if too many wait already
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

      // more than one may be admitted: waiters of this relay and waiters of this peer
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

  /** The next asker that there is room for */
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

/** The peers that could not be connected to directly: the last thousand, for ten minutes */
export class FailedPeers {
  /** When each failure is forgotten, in ms, in the order of time */
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
