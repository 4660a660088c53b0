import { serviceCapabilities, transportSymbol } from '@libp2p/interface'
import { CustomProgressEvent } from 'progress-events'
import { isSupported, parseDialAddr } from './address.ts'
import { reuseUnavailable } from './bound-socket.ts'
import { toConnection } from './connection.ts'
import { dial } from './dialer.ts'
import { guardCall, guardLogger } from './guarded.ts'
import { ReuseportListener } from './listener.ts'
import { dialerMetrics } from './metrics.ts'
import { checkDialOptions, checkListenerOptions, withDefaults } from './options.ts'
import { PortPool } from './port-pool.ts'
import { watchForInitiator } from './simultaneous-open.ts'
import { Suspicion } from './suspicion.ts'
import type { RawConnection } from './connection.ts'
import type { DialerMetrics } from './metrics.ts'
import type { ConnectOptions, ReuseportTcpCreateListenerOptions, ReuseportTcpDialEvents, ReuseportTcpDialOptions, ReuseportTcpInit } from './options.ts'
import type { ComponentLogger, Connection, Listener, Logger, Metrics, Transport, Upgrader } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

export interface ReuseportTcpComponents {
  logger: ComponentLogger
  metrics?: Metrics
}

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

  readonly #init: ReuseportTcpInit
  readonly #logger: ComponentLogger
  readonly #log: Logger
  readonly #libp2pMetrics?: Metrics
  readonly #metrics: DialerMetrics
  readonly #pool = new PortPool()
  readonly #suspicion = new Suspicion()
  readonly #reuseTurnedOff: boolean

  constructor ({ logger, metrics }: ReuseportTcpComponents, init: ReuseportTcpInit = {}) {
    this.#init = init
    this.#logger = guardLogger(logger)
    this.#log = this.#logger.forComponent('libp2p:reuseport-tcp')
    this.#libp2pMetrics = metrics
    this.#metrics = dialerMetrics(metrics, this.#log)
    this.#reuseTurnedOff = isFalse(process.env.LIBP2P_TCP_REUSEPORT)

    const unavailable = reuseUnavailable()

    if (unavailable != null && !saidUnavailable) {
      saidUnavailable = true
      this.#log('ports can not be reused here, dialing from ephemeral ports: %s', unavailable)
    }
  }

  async dial (ma: Multiaddr, options: ReuseportTcpDialOptions): Promise<Connection> {
    const { connection, peerIsInitiator } = await this.#open(ma, options)

    try {
      return await options.upgrader.upgradeOutbound(connection, options)
    } catch (err: any) {
      this.#metrics.errors?.increment({ outbound_upgrade: true })
      this.#log('could not upgrade the connection to %a - %e', ma, err)
      connection.abort(err)

      if (options.signal?.aborted === true || DENIED.includes(err?.name) || !peerIsInitiator(firstProposal(options.upgrader))) {
        throw err
      }
    }

    // an ephemeral port of ours has nothing to meet
    this.#log('%a dialed us at the same moment and both ends acted as initiator, dialing once more', ma)
    this.#metrics.reuse?.increment({ simultaneous_open: true })

    return this.dial(ma, { ...options, reusePort: false })
  }

  async connect (ma: Multiaddr, options: ConnectOptions = {}): Promise<RawConnection> {
    return (await this.#open(ma, options)).connection
  }

  createListener (options: ReuseportTcpCreateListenerOptions): Listener {
    checkListenerOptions(options)

    const { inboundSocketInactivityTimeout, maxConnections, backlog, closeServerOnMaxConnections, listenOpts, sharePort = false } = this.#init

    return new ReuseportListener({
      ...withDefaults(listenOpts, options),
      pool: this.#pool,
      upgrader: options.upgrader,
      logger: this.#logger,
      metrics: this.#libp2pMetrics,
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

  /**
   * Opens a raw connection. `peerIsInitiator` tells if the peer turned out to
   * act as an initiator on it, which only a dial from a listening port can meet
   */
  async #open (ma: Multiaddr, options: ConnectOptions): Promise<{ connection: RawConnection, peerIsInitiator(proposed?: string): boolean }> {
    checkDialOptions(options)

    const { dialOpts, reusePort = true, reusePortTimeout = 1_000, outboundSocketInactivityTimeout } = this.#init
    const { allowHalfOpen, ...socketOptions } = withDefaults(dialOpts, options)
    const target = parseDialAddr(ma)

    this.#progress(options, new CustomProgressEvent('tcp:open-connection'))
    this.#log('dialing %a', ma)

    const { socket, reason, because } = await this.#counted(dial(target, {
      pool: this.#pool,
      suspicion: this.#suspicion,
      reusePort: !this.#reuseTurnedOff && (options.reusePort ?? reusePort),
      reusePortTimeout: options.initiator == null ? reusePortTimeout : Infinity,
      // connections send their FIN themselves, see connection.ts
      socketOptions: { ...socketOptions, allowHalfOpen: true },
      signal: options.signal ?? new AbortController().signal,
      log: this.#log,
      metrics: this.#metrics
    }))

    try {
      const connection = toConnection({
        socket,
        remoteAddr: ma,
        // the muxer takes its role from here, not from the upgrader
        direction: options.initiator === false ? 'inbound' : 'outbound',
        inactivityTimeout: outboundSocketInactivityTimeout,
        allowHalfOpen,
        metrics: this.#metrics.events,
        log: this.#log.newScope('connection')
      })
      const reused = reason !== 'ephemeral' && reason !== 'unix'
      const peerIsInitiator = reused && options.initiator == null ? watchForInitiator(socket) : () => false

      this.#log('connected to %a from %s', ma, connection.localAddr ?? 'a unix socket')
      this.#progress(options, new CustomProgressEvent('tcp:source-port', { localAddr: connection.localAddr, reason, because }))

      return { connection, peerIsInitiator }
    } catch (err: any) {
      this.#metrics.errors?.increment({ outbound_to_connection: true })
      socket.destroy()
      throw err
    }
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

  #progress ({ onProgress }: Pick<ConnectOptions, 'onProgress'>, event: ReuseportTcpDialEvents): void {
    guardCall(this.#log, () => onProgress?.(event))
  }
}

/**
 * The names of libp2p's errors for a connection that one of the ends does not
 * want, whatever the way it came about
 */
const DENIED = ['ConnectionInterceptedError', 'ConnectionDeniedError']

/**
 * What the upgrader proposes first to encrypt a connection
 */
function firstProposal (upgrader: Upgrader): string | undefined {
  return upgrader.getConnectionEncrypters?.().keys().next().value
}

/**
 * The values that Go's `LIBP2P_TCP_REUSEPORT` understands as off
 */
function isFalse (value: string = ''): boolean {
  return ['false', 'f', '0'].includes(value.toLowerCase())
}
