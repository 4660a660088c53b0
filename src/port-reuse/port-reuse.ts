import type { Endpoint } from '../endpoint.ts'
import type { Server, Socket, SocketConstructorOpts } from 'node:net'

/**
 * How ports are reused on this machine, or why they are not. `name` is the way in which a dial
 * comes from a port that is listened on
 */
export type PortReuseSupport =
  { readonly available: true, readonly name: string } |
  { readonly available: false, readonly why: string }

/** A way in which a dial can come from a port that is listened on, found by trying */
export interface PortReuse extends Strategy {
  readonly support: PortReuseSupport
}

/** What has to be done in a way of its own to dial from a port that is listened on */
export interface Strategy {
  /**
   * Has `server` listen on an endpoint, in such a way that dials can come from it; port 0
   * lets the kernel choose. That the server listens, or can't, arrives as its event.
   *
   * @returns where it is bound; `undefined` if only the server's `listening` event tells
   * @throws {Error} the system's error, if it is known at once: EADDRINUSE, EACCES…
   */
  listen(server: Server, local: Endpoint, options: ListenOptions): Endpoint | undefined

  /**
   * Begins to connect to `destination` from the port of a listening endpoint. What
   * connect(2) and the network answer arrives as the socket's `error` event.
   *
   * @throws {Error} the system's error, if no socket can be bound for this: EADDRINUSE,
   * EADDRNOTAVAIL, EMFILE…
   */
  connect(listening: Endpoint, destination: Endpoint, options: SocketConstructorOpts): Socket | Promise<Socket>
}

export interface ListenOptions {
  backlog: number

  /** Listen also if somebody else does, where the system allows that */
  sharePort: boolean

  /** Do we listen on this endpoint, or on one that overlaps with it, ourselves? */
  isOurs(endpoint: Endpoint): boolean
}
