import type { Endpoint } from '../endpoint.ts'
import type { Server, Socket, SocketConstructorOpts } from 'node:net'

/**
 * A way to bind a TCP socket to a local endpoint. With port 0 the kernel chooses the port. IPv6
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
 * Binds, and checks that the socket has the wanted port. Deno reports EADDRINUSE only at
 * connect(2). Before, the port of such a socket is 0
 *
 * @throws {Error} the system's error, or an error without a code if the socket is bound to
 * another port
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
 * A TCP socket that is bound to a local endpoint. It neither listens nor is it connected.
 * Exactly one of its methods must be called, once
 */
export interface BoundSocket {
  /** Where the socket is bound. If port 0 was asked for, this has the real port */
  readonly local: Endpoint

  /** Returns a `net.Socket` that the caller has to connect */
  toSocket(options: SocketConstructorOpts): Socket

  /**
   * Makes `server` listen on the socket. The socket listens when this returns. The server's
   * `listening` event comes on the next tick. Errors arrive as the server's `error` event
   */
  listen(server: Server, backlog?: number): void

  close(): void
}
