import type { EphemeralReason } from './dialing/dialed-from.ts'
import type { ReuseRule } from './port-reuse/choose-source.ts'
import type { FindPortReuse } from './port-reuse/port-reuse.ts'
import type { AbortOptions, CreateListenerOptions, DialTransportOptions, OutboundConnectionUpgradeEvents } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { ProgressEvent, ProgressOptions } from 'progress-events'

/** The options of a socket, with the same meaning as in `node:net` */
export interface TCPSocketOptions {
  /**
   * Send small packets at once (TCP_NODELAY)
   *
   * @default true
   */
  noDelay?: boolean

  /**
   * Make the kernel notice that a peer has vanished (SO_KEEPALIVE)
   *
   * @default true
   */
  keepAlive?: boolean

  /**
   * How long a connection is silent before the kernel sends the first keep-alive probe, in ms.
   * 0 means the system's default
   *
   * @default 0
   */
  keepAliveInitialDelay?: number

  /**
   * Keep this end's half of a connection open when the peer has closed its half
   *
   * @default false
   */
  allowHalfOpen?: boolean
}

/** When a listener pauses, and when it resumes */
export interface CloseServerOnMaxConnectionsOpts {
  /** Listen again as soon as there are fewer connections than this */
  listenBelow: number

  /**
   * Stop listening as soon as there are this many connections or more. With `sharePort`, the
   * connections that wait in the queue are accepted first, at most `backlog` + 1. Else they
   * would be reset, although another listener of the port could have accepted them
   */
  closeAbove: number

  /**
   * Called when the listener could not listen again, for example because another process has
   * taken the port. The listener tries again each time a connection closes, and after 1 s. As
   * long as this fails, each wait is twice as long as the one before, up to 60 s
   */
  onListenError?(err: Error): void
}

/** The options of `reuseportTcp` */
export interface ReuseportTcpInit {
  /**
   * Dial from a port that this transport listens on. `false`: dial from an ephemeral port, like
   * `PortUse::New` of rust-libp2p. Each dial can override this.
   *
   * The environment variable `LIBP2P_TCP_REUSEPORT=false` (or `f`, or `0`) turns port reuse off,
   * as in go-libp2p. It overrides this option.
   *
   * Platforms: on Linux, listeners set SO_REUSEPORT, so other processes of the same user can listen
   * on their ports. With `false` they still do, as a single dial may ask for the listening port.
   * Only the environment variable changes that. macOS is experimental: it was tried by simulation
   * of its bind rules, not on a Mac. On Windows (without `winsock()`), Bun and Deno, each dial comes
   * from an ephemeral port.
   *
   * @default true
   */
  reusePort?: boolean

  /**
   * Listen on a port even if another process or another transport already listens on it. The
   * kernel distributes the inbound connections among the listeners. All of them must belong to
   * the same user and set SO_REUSEPORT. Without this option, listening fails with EADDRINUSE.
   *
   * The workers of a cluster share their ports by default, as with any server of Node. So a
   * worker does not notice a foreign process that listens on the port. When a worker
   * disconnects, its listeners accept the connections in their queues and then no more. Its
   * connections stay until they end.
   *
   * Platforms: only Linux has a SO_REUSEPORT that distributes connections. On macOS and Windows,
   * only the workers of a cluster can share a port, by the primary process.
   *
   * @default `cluster.isWorker` of `node:cluster`
   */
  sharePort?: boolean

  /**
   * How long a dial from a listening port may be without an answer before a dial from an
   * ephemeral port starts in parallel, in ms. `Infinity`: never. If the ephemeral port connects
   * first, the listening port gets as much more time as the ephemeral port took, but at least
   * 100 ms and at most 1 s. If it connects within this time, it is preferred.
   *
   * If a dial from a listening port fails before the timeout, for example with ECONNREFUSED, it
   * is repeated once from an ephemeral port. This also happens with `Infinity`. A network may
   * refuse only the listening port.
   *
   * A dial with `initiator` or with `reusePort: 'require'` is never repeated in these ways, as a
   * hole punch can use only one port.
   *
   * The kernel sends a lost SYN again after 1,000 ms (RFC 6298, section 2). With the default, the
   * answer to this second SYN can arrive before the ephemeral port is tried.
   *
   * @default 1_250
   */
  reusePortTimeout?: number

  /**
   * How many observers must agree on an external address of this node before libp2p's address
   * manager gets the address and verifies it. All peers of an IPv4 address, or of a /56 of IPv6,
   * count as one observer. The same as go-libp2p's `ActivationThresh`
   *
   * @default 4
   */
  observedAddressThreshold?: number

  /**
   * Abort an accepted connection after this many ms without data. 0 turns it off
   *
   * @default 120_000
   */
  inboundSocketInactivityTimeout?: number

  /**
   * Abort a dialed connection after this many ms without data. 0 turns it off
   *
   * @default 120_000
   */
  outboundSocketInactivityTimeout?: number

  /**
   * A listener drops further connections while it has this many connections
   *
   * @default Infinity
   */
  maxConnections?: number

  /**
   * The maximum length of the queue of pending connections, see listen(2). Linux limits it to
   * `net.core.somaxconn`. 0 means the default, as in Node
   *
   * @default 511
   */
  backlog?: number

  /** Stop listening while there are many connections. Dials still use the port */
  closeServerOnMaxConnections?: CloseServerOnMaxConnectionsOpts

  /**
   * How dials share the port of a listener. By default the transport finds out what works on this
   * machine, by trying. On Windows nothing does, unless this is the result of `winsock()` of
   * `libp2p-reuseport-tcp/winsock`
   */
  portReuse?: FindPortReuse

  /** The options of dialed sockets */
  dialOpts?: TCPSocketOptions

  /** The options of accepted sockets */
  listenOpts?: TCPSocketOptions
}

/**
 * Where a connection was dialed from. `localAddr` is the local end. It is undefined if the socket
 * has closed already
 *
 * - `reused`: from a listening endpoint. `rule` selected it
 * - `ephemeral`: from an ephemeral port. `why` is for programs to compare, `message` for humans to
 * read
 * - `unix`: from a unix socket, which has no port
 */
export type SourcePort =
  { readonly kind: 'reused', readonly rule: ReuseRule, readonly localAddr?: Multiaddr } |
  { readonly kind: 'ephemeral', readonly why: EphemeralReason, readonly message: string, readonly localAddr?: Multiaddr } |
  { readonly kind: 'unix', readonly localAddr?: undefined }

/** The events of a dial that `onProgress` gets */
export type ReuseportTcpDialEvents =
  OutboundConnectionUpgradeEvents |
  ProgressEvent<'tcp:open-connection'> |
  ProgressEvent<'tcp:source-port', SourcePort>

/** The options of a raw connection */
export interface ConnectOptions extends AbortOptions, ProgressOptions<ReuseportTcpDialEvents>, TCPSocketOptions {
  /**
   * Overrides the transport's option for this dial. `require`: dial from a listening port or
   * fail. A hole punch needs this, as it can't use another port
   */
  reusePort?: boolean | 'require'

  /**
   * The role of this end in a hole punch: `true` for the initiator, `false` for the responder
   * (libp2p specs, `relay/DCUtR.md`). A plain dial does not set it. The upgrader gets it, too.
   *
   * If the peer of a responder is still silent some time after the connection opened, both ends
   * are waiting. This end then becomes the initiator. It happens when a listener of the peer
   * accepted the connection instead of a simultaneous open.
   */
  initiator?: boolean
}

/** The options of a dial: those of a raw connection, and the upgrader */
export interface ReuseportTcpDialOptions extends DialTransportOptions<ReuseportTcpDialEvents>, Omit<ConnectOptions, 'signal' | 'onProgress'> {}

/** The options of a listener */
export interface ReuseportTcpCreateListenerOptions extends CreateListenerOptions, TCPSocketOptions {}

/** The options of a transport. Options that were not given, or were `null`, have their defaults */
export type ReuseportTcpSettings = Required<Omit<ReuseportTcpInit, Optional>> & Pick<ReuseportTcpInit, Optional>

type Optional = 'sharePort' | 'portReuse' | 'closeServerOnMaxConnections'
