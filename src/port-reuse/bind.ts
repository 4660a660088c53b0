import type { Endpoint } from '../endpoint.ts'
import type { Server, Socket, SocketConstructorOpts } from 'node:net'

/**
 * A way to bind a TCP socket to a local endpoint; port 0 lets the kernel choose. IPv6
 * sockets are IPv6-only
 *
 * @throws {Error} the system's error, at once: EADDRINUSE, EADDRNOTAVAIL, EACCES, EMFILE…
 */
export interface Bind {
  (local: Endpoint, options: BindOptions): BoundSocket
}

export interface BindOptions {
  /** Set SO_REUSEPORT */
  reusePort: boolean
}

/**
 * Deno reports EADDRINUSE no sooner than with connect(2), and says that it is bound to port 0
 *
 * @throws {Error} the system's error, or one that says that the socket is bound to another port
 */
export function bindReally (bind: Bind, local: Endpoint, options: BindOptions): BoundSocket {
  const bound = bind(local, options)

  if (bound.local.port !== local.port) {
    bound.close()
    throw new Error(`the socket is not bound to port ${local.port}`)
  }

  return bound
}

/**
 * A TCP socket that is bound to a local endpoint and neither listens nor is
 * connected. Exactly one of its methods must be called, once
 */
export interface BoundSocket {
  /** Where it is bound, with the real port if 0 was asked for */
  readonly local: Endpoint

  /** Gives it as a `net.Socket` that is to be connected */
  toSocket(options: SocketConstructorOpts): Socket

  /**
   * Has `server` listen on it. The socket listens when this returns; the server says so
   * on the next tick. Errors arrive as its `error` event
   */
  listen(server: Server, backlog?: number): void

  close(): void
}
