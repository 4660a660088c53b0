import type { Endpoint } from '../endpoint.ts'
import type { Server, Socket, SocketConstructorOpts } from 'node:net'

/**
 * How ports are reused on this machine, or why they are not. `name` tells the strategy and the
 * way to bind
 */
export type PortReuseSupport =
  { readonly available: true, readonly name: string } |
  { readonly available: false, readonly why: string }

/** The strategy that was found on this machine by trying */
export interface PortReuse extends Strategy {
  readonly support: PortReuseSupport
}

/**
 * When to try again after an inconclusive answer. Listeners use `now`: a listener that starts
 * without port reuse can never be dialed from
 */
export type Look = 'now' | 'once a second'

/**
 * Answers how ports are reused on this machine. The transport asks at its start, and at each
 * listen and each dial, so it has to answer at once. The answer may change
 */
export type FindPortReuse = (look?: Look) => PortReuse

/** A way to dial from a listening port */
export interface Strategy {
  /**
   * Makes `server` listen on an endpoint in such a way that dials can come from it. With port 0
   * the kernel chooses the port. The server's `listening` or `error` event tells the outcome.
   *
   * @returns where the server is bound; `undefined` if this is known only at its `listening`
   * event
   * @throws {Error} the system's error, if it is known at once: EADDRINUSE, EACCES…
   */
  listen(server: Server, local: Endpoint, options: ListenOptions): Endpoint | undefined

  /**
   * Begins to connect to `destination` from the port of a listening endpoint. Errors of
   * connect(2) and of the network arrive as the socket's `error` event.
   *
   * @throws {Error} the system's error, if no socket can be bound to the port: EADDRINUSE,
   * EADDRNOTAVAIL, EMFILE…
   */
  connect(listening: Endpoint, destination: Endpoint, options: SocketConstructorOpts): Socket | Promise<Socket>
}

export interface ListenOptions {
  backlog: number

  /** Listen even if another process listens on the port, if the system allows this */
  sharePort: boolean

  /** Does this transport itself listen on this endpoint, or on one that overlaps with it? */
  isOurs(endpoint: Endpoint): boolean
}
