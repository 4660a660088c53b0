import type { Endpoint } from '../endpoint.ts'

/**
 * How long the kernel may still hold the 4-tuple of a connection that the peer closed first, in
 * ms. It holds it until the peer has acknowledged this end's FIN (LAST_ACK, RFC 9293). This
 * takes a round trip
 */
const LAST_ACK_MS = 1_000

/**
 * The connections that the peer closed a moment ago. Connections that this end closed first are
 * not among them: for these the kernel holds the 4-tuple not at all or, without TCP timestamps,
 * for a minute (TIME_WAIT)
 */
export class RecentlyClosed {
  /** When each connection was closed, the oldest first */
  readonly #closed = new Map<string, number>()

  /** The 4-tuple has a new connection. If the kernel holds the 4-tuple, it is for this one */
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
