import type { Endpoint } from '../endpoint.ts'

/**
 * How long the kernel may still hold the 4-tuple of a connection that the peer closed
 * first: until it has acknowledged our FIN (LAST_ACK, RFC 9293), which takes a round trip
 */
const LAST_ACK_MS = 1_000

/**
 * Which connections the peer closed a moment ago. One that we closed first is not held
 * for a round trip, but for nothing or, without TCP timestamps, for a minute (TIME_WAIT)
 */
export class RecentlyClosed {
  /** When each was closed, the oldest first */
  readonly #closed = new Map<string, number>()

  /** There is such a connection again, so what the kernel holds is that one */
  remove (localPort: number, remote: Endpoint): void {
    this.#closed.delete(keyOf(localPort, remote))
  }

  add (localPort: number, remote: Endpoint, now: number = Date.now()): void {
    const key = keyOf(localPort, remote)

    this.#closed.delete(key)
    this.#closed.set(key, now)

    for (const [old, at] of this.#closed) {
      if (now - at < LAST_ACK_MS) {
        break
      }

      this.#closed.delete(old)
    }
  }

  has (localPort: number, remote: Endpoint, now: number = Date.now()): boolean {
    return now - (this.#closed.get(keyOf(localPort, remote)) ?? -Infinity) < LAST_ACK_MS
  }
}

function keyOf (localPort: number, { host, port }: Endpoint): string {
  return `${localPort} ${host} ${port}`
}
