import type { EphemeralReason } from './dialing/dialed-from.ts'
import type { ReuseRule } from './port-reuse/choose-source.ts'
import type { AbortOptions, CreateListenerOptions, DialTransportOptions, OutboundConnectionUpgradeEvents } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { ProgressEvent, ProgressOptions } from 'progress-events'

/** What can be set for a socket, with the meaning it has in `node:net` */
export interface TCPSocketOptions {
  /**
   * Send small packets at once (TCP_NODELAY)
   *
   * @default true
   */
  noDelay?: boolean

  /**
   * Have the kernel notice a vanished peer (SO_KEEPALIVE)
   *
   * @default true
   */
  keepAlive?: boolean

  /**
   * How long a connection is silent before the kernel sends the first keep-alive
   * probe, in ms. 0 leaves it to the system
   *
   * @default 0
   */
  keepAliveInitialDelay?: number

  /**
   * Keep our half of a connection open when the peer has closed its half
   *
   * @default false
   */
  allowHalfOpen?: boolean
}

/** When a listener pauses, and when it goes on */
export interface CloseServerOnMaxConnectionsOpts {
  /** Listen again once there are fewer connections than this */
  listenBelow: number

  /**
   * Stop listening once there are this many connections or more. With `sharePort`, those
   * that wait in the queue are accepted first, at most `backlog` and one: they would be
   * reset, although another listener of the port could have accepted them
   */
  closeAbove: number

  /**
   * Invoked when listening again failed, for example as another process has taken the port.
   * It is tried again each time that a connection closes, and after 1 s. While that fails,
   * too, each wait is twice as long as the one before, up to 60 s
   */
  onListenError?(err: Error): void
}

/** The options of `reuseportTcp` */
export interface ReuseportTcpInit {
  /**
   * Dial from a port that this transport listens on. `false`: from an ephemeral
   * port, like `PortUse::New` of rust-libp2p. Can be set per dial as well.
   *
   * The environment variable `LIBP2P_TCP_REUSEPORT=false` (or `f`, or `0`) turns
   * it off whatever is set here, as it does in go-libp2p.
   *
   * @default true
   */
  reusePort?: boolean

  /**
   * Listen on a port that another process or another transport already listens
   * on. The kernel spreads the inbound connections over them. Both must be of
   * the same user and set SO_REUSEPORT. Without this, it is EADDRINUSE.
   *
   * The workers of a cluster share their ports by default, as they do with any server
   * of Node. So a stranger who listens on the port is not noticed there. When a worker
   * disconnects, its listeners accept what waits in their queues and then no more, and its
   * connections stay until they end.
   *
   * @default `cluster.isWorker` of `node:cluster`
   */
  sharePort?: boolean

  /**
   * How long a dial from a listening port may be without an answer, in ms, before
   * one from an ephemeral port starts beside it. If that connects first, the listening
   * port has as long again as it took, from 100 ms to 1 s, and is preferred if it connects
   * by then. `Infinity`: never.
   *
   * A dial from a listening port that fails before, with ECONNREFUSED for instance, is
   * repeated once from an ephemeral port, whatever the timeout. A network may refuse the
   * listening port only.
   *
   * Neither is done for a dial with `initiator`, or with `reusePort: 'require'`: a hole punch
   * has one port only.
   *
   * The kernel sends a lost SYN again after 1,000 ms (RFC 6298, section 2). With the
   * default, the answer to that one can arrive before anything else is tried.
   *
   * @default 1_250
   */
  reusePortTimeout?: number

  /**
   * How many observers must agree on an external address of ours before it is
   * handed to libp2p's address manager, to be verified. An IPv4 address or a /56 of
   * IPv6 counts as one observer. The same as go-libp2p's `ActivationThresh`
   *
   * @default 4
   */
  observedAddressThreshold?: number

  /**
   * Abort a connection that was accepted after this many ms without data. 0 turns
   * it off
   *
   * @default 120_000
   */
  inboundSocketInactivityTimeout?: number

  /**
   * Abort a connection that was dialed after this many ms without data. 0 turns
   * it off
   *
   * @default 120_000
   */
  outboundSocketInactivityTimeout?: number

  /**
   * A listener drops further connections while it has this many
   *
   * @default Infinity
   */
  maxConnections?: number

  /**
   * The maximum length of the queue of pending connections, see listen(2). Linux makes it
   * `net.core.somaxconn` if it is larger. 0 stands for the default, as in Node
   *
   * @default 511
   */
  backlog?: number

  /** Stop listening while there are many connections. Dials go on using the port */
  closeServerOnMaxConnections?: CloseServerOnMaxConnectionsOpts

  /** For the sockets that are dialed */
  dialOpts?: TCPSocketOptions

  /** For the sockets that are accepted */
  listenOpts?: TCPSocketOptions
}

/**
 * Where a connection was dialed from. `localAddr` is its local end, which a socket that has
 * closed already does not know
 *
 * - `reused`: from a listening endpoint, selected by this rule
 * - `ephemeral`: from an ephemeral port. `why` is to branch on, `message` to read
 * - `unix`: from a unix socket, which has no port
 */
export type SourcePort =
  { readonly kind: 'reused', readonly rule: ReuseRule, readonly localAddr?: Multiaddr } |
  { readonly kind: 'ephemeral', readonly why: EphemeralReason, readonly message: string, readonly localAddr?: Multiaddr } |
  { readonly kind: 'unix', readonly localAddr?: undefined }

/** What `onProgress` is told of a dial */
export type ReuseportTcpDialEvents =
  OutboundConnectionUpgradeEvents |
  ProgressEvent<'tcp:open-connection'> |
  ProgressEvent<'tcp:source-port', SourcePort>

/** How to open a raw connection */
export interface ConnectOptions extends AbortOptions, ProgressOptions<ReuseportTcpDialEvents>, TCPSocketOptions {
  /**
   * Overrides the transport's own setting for this dial. `require`: dial from a
   * listening port or fail, as for a hole punch, for which no other port will do
   */
  reusePort?: boolean | 'require'

  /**
   * `false` if the upgrade is going to act as the responder, as one end of a
   * hole punch does (libp2p specs, `relay/DCUtR.md`). It is handed to the
   * upgrader. If the peer says nothing well after the connection opened, it takes
   * us for the initiator as well (its listener accepted what was to be a
   * simultaneous open), and that is what we are then.
   */
  initiator?: boolean
}

/** How to dial: as for a raw connection, and an upgrader */
export interface ReuseportTcpDialOptions extends DialTransportOptions<ReuseportTcpDialEvents>, Omit<ConnectOptions, 'signal' | 'onProgress'> {}

/** How to listen */
export interface ReuseportTcpCreateListenerOptions extends CreateListenerOptions, TCPSocketOptions {}

/** The options of a transport with the defaults for those that are not given, or `null` */
export type ReuseportTcpSettings = Required<Omit<ReuseportTcpInit, Optional>> & Pick<ReuseportTcpInit, Optional>

type Optional = 'sharePort' | 'closeServerOnMaxConnections'
