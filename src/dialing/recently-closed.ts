import type { Endpoint } from '../endpoint.ts'

/** The 4-tuples that the kernel may still hold although their connections have closed */
export class RecentlyClosed {
  /** Until when each may be held, in the order in which they were closed */
  readonly #held = new Map<string, number>()

  /** The 4-tuple has a new connection. If the kernel holds the 4-tuple, it is for this one */
  remove (localPort: number, remote: Endpoint): void {
    this.#held.delete(keyOf(localPort, remote))
  }

  /** The connection has closed. The kernel may hold its 4-tuple for `heldFor` ms */
  add (localPort: number, remote: Endpoint, heldFor: number, now: number = Date.now()): void {
    const key = keyOf(localPort, remote)

    this.#held.delete(key)
    this.#held.set(key, now + heldFor)

    for (const [old, until] of this.#held) {
      if (now < until) {
        break
      }

      this.#held.delete(old)
    }
  }

  isHeld (localPort: number, remote: Endpoint, now: number = Date.now()): boolean {
    return now < (this.#held.get(keyOf(localPort, remote)) ?? -Infinity)
  }
}

function keyOf (localPort: number, { host, port }: Endpoint): string {
  return `${localPort} ${host} ${port}`
}
