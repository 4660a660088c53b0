import { serviceCapabilities, transportSymbol } from '@libp2p/interface'
import { CustomProgressEvent } from 'progress-events'
import { isSupported, parseDialAddr } from './address.ts'
import { reuseUnavailable } from './bound-socket.ts'
import { toConnection } from './connection.ts'
import { dial } from './dialer.ts'
import { ReuseportListener } from './listener.ts'
import { dialerMetrics } from './metrics.ts'
import { PortPool } from './port-pool.ts'
import type { RawConnection } from './connection.ts'
import type { SourceReason } from './dialer.ts'
import type { CloseServerOnMaxConnectionsOpts } from './listener.ts'
import type { DialerMetrics } from './metrics.ts'
import type { AbortOptions, ComponentLogger, Connection, CreateListenerOptions, DialTransportOptions, Listener, Logger, Metrics, OutboundConnectionUpgradeEvents, Transport } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { ProgressEvent, ProgressOptions } from 'progress-events'

export interface ReuseportTcpComponents {
  logger: ComponentLogger
  metrics?: Metrics
}

/**
 * What can be set for a socket, with the meaning it has in `node:net`
 */
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
   * the same user and set SO_REUSEPORT. Without this, it is EADDRINUSE
   *
   * @default false
   */
  sharePort?: boolean

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
   * The maximum length of the queue of pending connections, see listen(2)
   *
   * @default 511
   */
  backlog?: number

  /**
   * Stop listening while there are many connections. Dials go on using the port
   */
  closeServerOnMaxConnections?: CloseServerOnMaxConnectionsOpts

  /**
   * For the sockets that are dialed
   */
  dialOpts?: TCPSocketOptions

  /**
   * For the sockets that are accepted
   */
  listenOpts?: TCPSocketOptions
}

/**
 * Where a connection was dialed from
 */
export interface SourcePort {
  /**
   * The local end of the connection. Unix sockets have none
   */
  localAddr?: Multiaddr

  /**
   * `loopback`, `route`, `wildcard`: the rule that selected a listening endpoint.
   * `ephemeral`: none was used. `unix`: there is no port
   */
  reason: SourceReason

  /**
   * Why no listening port was used, if none was
   */
  because?: string
}

export type ReuseportTcpDialEvents =
  OutboundConnectionUpgradeEvents |
  ProgressEvent<'tcp:open-connection'> |
  ProgressEvent<'tcp:source-port', SourcePort>

/**
 * How to open a raw connection
 */
export interface ConnectOptions extends AbortOptions, ProgressOptions<ReuseportTcpDialEvents>, TCPSocketOptions {
  /**
   * Overrides the transport's own setting for this dial
   */
  reusePort?: boolean

  /**
   * `false` if the upgrade is going to act as the responder, as one end of a
   * hole punch does (libp2p specs, `relay/DCUtR.md`). It is handed to the upgrader
   */
  initiator?: boolean
}

export interface ReuseportTcpDialOptions extends DialTransportOptions<ReuseportTcpDialEvents>, Omit<ConnectOptions, 'signal' | 'onProgress'> {}

export interface ReuseportTcpCreateListenerOptions extends CreateListenerOptions, TCPSocketOptions {}

export interface ReuseportTcpTransport extends Transport<ReuseportTcpDialEvents> {
  /**
   * @throws {InvalidParametersError} if the multiaddr is not TCP over IPv4, IPv6
   * or DNS or a unix socket, or has port 0 or an unspecified address
   * @throws {AbortError} when the signal aborts
   * @throws {Error} the system's error, when the network answered with one, or whatever
   * the upgrader throws
   */
  dial(ma: Multiaddr, options: ReuseportTcpDialOptions): Promise<Connection>

  /**
   * Like `dial`, without an upgrader: gives the raw connection, which is neither
   * encrypted nor multiplexed. The counterpart of `Dial` in Go's package
   *
   * @throws {Error} as `dial`
   */
  connect(ma: Multiaddr, options?: ConnectOptions): Promise<RawConnection>

  createListener(options: ReuseportTcpCreateListenerOptions): Listener
}

/**
 * It is the same for every transport of the process, so it is said once
 */
let saidUnavailable = false

/**
 * The transport hands its port pool to both of its sides, which otherwise know
 * nothing of each other: listeners put their endpoints in, dials take theirs out
 */
export class ReuseportTcp implements ReuseportTcpTransport {
  readonly [transportSymbol] = true
  readonly [Symbol.toStringTag] = 'libp2p-reuseport-tcp'
  readonly [serviceCapabilities]: string[] = ['@libp2p/transport']

  readonly #components: ReuseportTcpComponents
  readonly #init: ReuseportTcpInit
  readonly #log: Logger
  readonly #metrics: DialerMetrics
  readonly #pool = new PortPool()
  readonly #reuseTurnedOff: boolean

  constructor (components: ReuseportTcpComponents, init: ReuseportTcpInit = {}) {
    this.#components = components
    this.#init = init
    this.#log = components.logger.forComponent('libp2p:reuseport-tcp')
    this.#metrics = dialerMetrics(components.metrics, this.#log)
    this.#reuseTurnedOff = isFalse(process.env.LIBP2P_TCP_REUSEPORT)

    const unavailable = reuseUnavailable()

    if (unavailable != null && !saidUnavailable) {
      saidUnavailable = true
      this.#log('ports can not be reused here, dialing from ephemeral ports: %s', unavailable)
    }
  }

  async dial (ma: Multiaddr, options: ReuseportTcpDialOptions): Promise<Connection> {
    const connection = await this.connect(ma, options)

    try {
      return await options.upgrader.upgradeOutbound(connection, options)
    } catch (err: any) {
      this.#metrics.errors?.increment({ outbound_upgrade: true })
      this.#log('could not upgrade the connection to %a - %e', ma, err)
      connection.abort(err)
      throw err
    }
  }

  async connect (ma: Multiaddr, options: ConnectOptions = {}): Promise<RawConnection> {
    const target = parseDialAddr(ma)
    const { allowHalfOpen, ...socketOptions } = withDefaults(this.#init.dialOpts, options)

    this.#progress(options, new CustomProgressEvent('tcp:open-connection'))
    this.#log('dialing %a', ma)

    const { socket, reason, because } = await this.#counted(dial(target, {
      pool: this.#pool,
      reusePort: !this.#reuseTurnedOff && (options.reusePort ?? this.#init.reusePort ?? true),
      // connections send their FIN themselves, see connection.ts
      socketOptions: { ...socketOptions, allowHalfOpen: true },
      signal: options.signal ?? new AbortController().signal,
      log: this.#log
    }))

    try {
      const connection = toConnection({
        socket,
        remoteAddr: ma,
        // the muxer takes its role from here, not from the upgrader
        direction: options.initiator === false ? 'inbound' : 'outbound',
        inactivityTimeout: this.#init.outboundSocketInactivityTimeout,
        allowHalfOpen,
        metrics: this.#metrics.events,
        log: this.#log.newScope('connection')
      })

      this.#log('connected to %a from %s', ma, connection.localAddr ?? 'a unix socket')
      this.#progress(options, new CustomProgressEvent('tcp:source-port', { localAddr: connection.localAddr, reason, because }))

      return connection
    } catch (err: any) {
      this.#metrics.errors?.increment({ outbound_to_connection: true })
      socket.destroy()
      throw err
    }
  }

  createListener (options: ReuseportTcpCreateListenerOptions): Listener {
    const { inboundSocketInactivityTimeout, maxConnections, backlog, closeServerOnMaxConnections, listenOpts, sharePort = false } = this.#init

    return new ReuseportListener({
      ...withDefaults(listenOpts, options),
      pool: this.#pool,
      upgrader: options.upgrader,
      logger: this.#components.logger,
      metrics: this.#components.metrics,
      sharePort,
      inactivityTimeout: inboundSocketInactivityTimeout,
      maxConnections,
      backlog,
      closeServerOnMaxConnections
    })
  }

  listenFilter (multiaddrs: Multiaddr[]): Multiaddr[] {
    return multiaddrs.filter(isSupported)
  }

  dialFilter (multiaddrs: Multiaddr[]): Multiaddr[] {
    return this.listenFilter(multiaddrs)
  }

  async #counted <T> (dialing: Promise<T>): Promise<T> {
    try {
      const result = await dialing
      this.#metrics.events?.increment({ connect: true })

      return result
    } catch (err: any) {
      this.#metrics.events?.increment(err.name === 'AbortError' ? { abort: true } : { error: true })
      throw err
    }
  }

  /**
   * What a progress handler throws is its own affair
   */
  #progress ({ onProgress }: Pick<ConnectOptions, 'onProgress'>, event: ReuseportTcpDialEvents): void {
    try {
      onProgress?.(event)
    } catch (err) {
      this.#log('progress handler failed - %e', err)
    }
  }
}

function withDefaults (forAll: TCPSocketOptions = {}, forThis: TCPSocketOptions): Pick<TCPSocketOptions, 'keepAliveInitialDelay'> & Required<Omit<TCPSocketOptions, 'keepAliveInitialDelay'>> {
  return {
    noDelay: forThis.noDelay ?? forAll.noDelay ?? true,
    keepAlive: forThis.keepAlive ?? forAll.keepAlive ?? true,
    keepAliveInitialDelay: forThis.keepAliveInitialDelay ?? forAll.keepAliveInitialDelay,
    allowHalfOpen: forThis.allowHalfOpen ?? forAll.allowHalfOpen ?? false
  }
}

/**
 * The values that Go's `LIBP2P_TCP_REUSEPORT` understands as off
 */
function isFalse (value: string = ''): boolean {
  return ['false', 'f', '0'].includes(value.toLowerCase())
}
