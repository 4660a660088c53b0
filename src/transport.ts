import cluster from 'node:cluster'
import { serviceCapabilities, transportSymbol } from '@libp2p/interface'
import { CODE_P2P } from '@multiformats/multiaddr'
import { CustomProgressEvent } from 'progress-events'
import { throwIfAborted } from './abort.ts'
import { isSupported, parseDialAddr } from './address.ts'
import { toConnection } from './connection/connection.ts'
import { dial } from './dialing/dialer.ts'
import { RecentlyClosed } from './dialing/recently-closed.ts'
import { Suspicion } from './dialing/suspended-endpoints.ts'
import { guardCall, guardLogger } from './guarded.ts'
import { dialedSilence, peerProposes } from './hole-punching/first-bytes.ts'
import { PunchedPeers } from './hole-punching/punched-peers.ts'
import { watchForInitiator } from './hole-punching/simultaneous-open.ts'
import { ReuseportListener } from './listener.ts'
import { dialerMetrics, sourceLabel } from './metrics.ts'
import { Observed } from './observed/observed.ts'
import { checkDialOptions, checkListenerOptions, initWithDefaults, withDefaults } from './options.ts'
import { portReuse, reuseUnavailable } from './port-reuse/bound-socket.ts'
import { PortPool } from './port-reuse/port-pool.ts'
import type { ConnectionFollower, RawConnection } from './connection/connection.ts'
import type { DialerMetrics } from './metrics.ts'
import type { AutonatComponents } from './observed/autonat.ts'
import type { ObservedAddressManager, ObservedEndpoint, OwnConnection } from './observed/observed.ts'
import type { ConnectOptions, ReuseportTcpCreateListenerOptions, ReuseportTcpDialEvents, ReuseportTcpDialOptions, ReuseportTcpInit, ReuseportTcpSettings } from './options.ts'
import type { PortReuse } from './port-reuse/bound-socket.ts'
import type { ComponentLogger, Connection, Libp2pEvents, Listener, Logger, Metrics, Transport, Upgrader } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { TypedEventTarget } from 'main-event'
import type { Socket } from 'node:net'

/**
 * Only the logger is needed. With `events` and `addressManager` the transport
 * follows what peers observe, and with the others it has AutoNAT v2 ask the connected peers
 */
export interface ReuseportTcpComponents extends AutonatComponents {
  logger: ComponentLogger
  metrics?: Metrics
  events?: TypedEventTarget<Libp2pEvents>
  addressManager?: ObservedAddressManager

  /**
   * Only whether there is one matters: in a private network both ends speak first
   */
  connectionProtector?: unknown
}

/**
 * What `reuseportTcp()` makes: a libp2p transport, and what only this one can do
 */
export interface ReuseportTcpTransport extends Transport<ReuseportTcpDialEvents> {
  /**
   * Dials the unspecified address (`/ip4/0.0.0.0`, `/ip6/::`) as this host's loopback
   * address, as the kernel does, whether it is in the multiaddr or what a name
   * resolves to.
   *
   * The signal is for the dial, the upgrade included, not for the connection that comes
   * of it. When it aborts, a peer that is connected by then gets a FIN, as from
   * `@libp2p/tcp`: somebody has gone, which is no error. (If the peer has sent something
   * that was not read, the kernel makes a RST of it.) Only a hole punch, a dial with
   * `initiator`, ends with RST.
   *
   * @throws {InvalidParametersError} if the multiaddr is not TCP over IPv4, IPv6
   * or DNS or a unix socket, or has port 0, or if an option has a value that can't be
   * used
   * @throws {AbortError} when the signal aborts
   * @throws {DialError} if `reusePort` is `'require'` and there is no listening port that
   * can be used
   * @throws {Error} the system's error, when the network answered with one, or the kernel
   * when every listening port is taken and one is required, or whatever the upgrader
   * throws
   */
  dial(ma: Multiaddr, options: ReuseportTcpDialOptions): Promise<Connection>

  /**
   * Like `dial`, without an upgrader: gives the raw connection, which is neither
   * encrypted nor multiplexed. The counterpart of `Dial` in Go's package
   *
   * @throws {Error} as `dial`
   */
  connect(ma: Multiaddr, options?: ConnectOptions): Promise<RawConnection>

  /**
   * @throws {InvalidParametersError} if an option has a value that can't be used
   */
  createListener(options: ReuseportTcpCreateListenerOptions): Listener

  /**
   * What peers see the listening endpoints as, and how a NAT maps them. What a
   * peer reports counts while it is connected and ten minutes longer
   */
  observed(): ObservedEndpoint[]

  /**
   * How ports are reused on this machine, or why they can't be. It does not say whether
   * `reusePort` is on
   */
  portReuse(): PortReuse
}

/**
 * Why ports can't be reused is the same for every transport of the process, so it is
 * said once. Only a lack of descriptors passes, and leaves room for another reason
 */
let saidUnavailable: string | undefined

/**
 * The transport hands its port pool to both of its sides, which otherwise know
 * nothing of each other: listeners put their endpoints in, dials take theirs out
 */
export class ReuseportTcp implements ReuseportTcpTransport {
  readonly [transportSymbol] = true
  readonly [Symbol.toStringTag] = 'libp2p-reuseport-tcp'
  readonly [serviceCapabilities]: string[] = ['@libp2p/transport']

  readonly #settings: ReuseportTcpSettings
  readonly #logger: ComponentLogger
  readonly #log: Logger
  readonly #connectionLog: Logger
  readonly #libp2pMetrics?: Metrics
  readonly #metrics: DialerMetrics
  readonly #pool = new PortPool()
  readonly #suspicion = new Suspicion()
  readonly #closed = new RecentlyClosed()
  readonly #punched = new PunchedPeers()
  readonly #observed?: Observed
  readonly #turnedOff: boolean
  readonly #isPrivateNetwork: boolean

  constructor (components: ReuseportTcpComponents, init: ReuseportTcpInit = {}) {
    const { logger, metrics, events, addressManager, connectionProtector } = components
    this.#settings = initWithDefaults(init)
    this.#logger = guardLogger(logger)
    this.#log = this.#logger.forComponent('libp2p:reuseport-tcp')
    this.#connectionLog = this.#log.newScope('connection')
    this.#libp2pMetrics = metrics
    this.#metrics = dialerMetrics(metrics, this.#log, () => ({
      listening: this.#pool.endpoints.length,
      suspended: this.#suspicion.count(),
      observed: this.#observed?.endpoints().flatMap(({ addresses }) => addresses).length ?? 0
    }))
    this.#isPrivateNetwork = connectionProtector != null
    this.#turnedOff = isFalse(process.env.LIBP2P_TCP_REUSEPORT)

    if (events != null) {
      this.#observed = new Observed({
        threshold: this.#settings.observedAddressThreshold,
        events,
        addressManager,
        autonat: components,
        log: this.#log.newScope('observed'),
        // where ports can't be reused there is nothing in the pool
        isListening: local => reuseUnavailable() != null || this.#pool.endpoints.some(({ host, port }) => host === local.host && port === local.port)
      })
    }

    const unavailable = reuseUnavailable()

    if (unavailable != null && unavailable !== saidUnavailable) {
      saidUnavailable = unavailable
      this.#log('ports can not be reused here, dialing from ephemeral ports: %s', unavailable)
    }
  }

  async dial (ma: Multiaddr, options: ReuseportTcpDialOptions): Promise<Connection> {
    const start = Date.now()
    const { connection, socket, peerIsInitiator } = options.initiator === true
      ? await this.#punch(ma, options)
      : await this.#open(ma, options)
    const { signal } = options
    const onAbort = (): void => {
      // all attempts of a hole punch need the same 4-tuple: after a FIN the kernel keeps it
      // until the peer closes its end, after an RST it is free at once
      if (options.initiator == null) {
        socket.destroy()
      }
    }

    // before the upgrader hears of it: TLS aborts the connection, which sends RST
    signal?.addEventListener('abort', onAbort)

    try {
      if (options.initiator === false && !await peerProposes(socket, { timeout: dialedSilence(Date.now() - start), isPrivateNetwork: this.#isPrivateNetwork, signal: options.signal })) {
        this.#log('%a waits for an initiator, so we are', ma)
        connection.direction = 'outbound'
        options = { ...options, initiator: true }
      }

      return await options.upgrader.upgradeOutbound(connection, options)
    } catch (err: any) {
      this.#metrics.errors?.increment({ outbound_upgrade: true })
      this.#log('could not upgrade the connection to %a - %e', ma, err)

      if (signal?.aborted === true) {
        onAbort()
      }

      connection.abort(err)

      if (signal?.aborted === true || options.reusePort === 'require' || DENIED.includes(err?.name) || !peerIsInitiator(firstProposal(options.upgrader))) {
        throw err
      }
    } finally {
      signal?.removeEventListener('abort', onAbort)
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

    const { inboundSocketInactivityTimeout, maxConnections, backlog, closeServerOnMaxConnections, listenOpts, sharePort } = this.#settings

    return new ReuseportListener({
      ...withDefaults(listenOpts, options),
      pool: this.#pool,
      upgrader: options.upgrader,
      logger: this.#logger,
      metrics: this.#libp2pMetrics,
      sharePort: sharePort ?? cluster.isWorker,
      inactivityTimeout: inboundSocketInactivityTimeout,
      maxConnections,
      backlog,
      closeServerOnMaxConnections,
      punched: this.#punched,
      isPrivateNetwork: this.#isPrivateNetwork,
      follow: (local, remote) => this.#follow({ local, remote, dialed: false })
    })
  }

  observed (): ObservedEndpoint[] {
    return this.#observed?.endpoints() ?? []
  }

  portReuse (): PortReuse {
    return portReuse()
  }

  listenFilter (multiaddrs: Multiaddr[]): Multiaddr[] {
    return multiaddrs.filter(isSupported)
  }

  dialFilter (multiaddrs: Multiaddr[]): Multiaddr[] {
    return this.listenFilter(multiaddrs)
  }

  /**
   * Opens a raw connection to a peer whose own dial may arrive instead
   */
  async #punch (ma: Multiaddr, options: ConnectOptions): Promise<OpenedConnection> {
    const peer = ma.getComponents().findLast(({ code }) => code === CODE_P2P)?.value
    const target = parseDialAddr(ma)

    return this.#punched.during({ endpoint: target.type === 'ip' ? target.endpoint : {}, peer }, async () => this.#open(ma, options))
  }

  /**
   * Opens a raw connection. `peerIsInitiator` tells if the peer turned out to
   * act as an initiator on it, which only a dial from a listening port can meet
   */
  async #open (ma: Multiaddr, options: ConnectOptions): Promise<OpenedConnection> {
    checkDialOptions(options)

    const { dialOpts, reusePort, reusePortTimeout, outboundSocketInactivityTimeout } = this.#settings
    const { allowHalfOpen, ...socketOptions } = withDefaults(dialOpts, options)
    const signal = options.signal ?? new AbortController().signal
    const target = parseDialAddr(ma)

    this.#progress(options, () => new CustomProgressEvent('tcp:open-connection'))
    this.#log('dialing %a', ma)

    const dialed = await this.#counted(dial(target, {
      pool: this.#pool,
      suspicion: this.#suspicion,
      closed: this.#closed,
      reusePort: options.reusePort ?? reusePort,
      turnedOff: this.#turnedOff,
      reusePortTimeout: options.initiator == null ? reusePortTimeout : Infinity,
      socketOptions,
      log: this.#log,
      metrics: this.#metrics
    }, signal))
    const { socket, reason, because, ends } = dialed

    try {
      const connection = toConnection({
        socket,
        remoteAddr: ma,
        local: ends?.local,
        follower: ends == null ? undefined : this.#follow({ ...ends, dialed: true }),
        // the muxer takes its role from here, not from the upgrader
        direction: options.initiator === false ? 'inbound' : 'outbound',
        inactivityTimeout: outboundSocketInactivityTimeout,
        allowHalfOpen,
        metrics: this.#metrics.events,
        log: this.#connectionLog
      })
      const peerIsInitiator = ends != null && options.initiator == null ? watchForInitiator(socket) : () => false

      this.#metrics.sources?.increment({ [sourceLabel(dialed)]: true })
      this.#log('connected to %a, source port: %s', ma, reason)
      this.#progress(options, () => new CustomProgressEvent('tcp:source-port', { localAddr: connection.localAddr, reason, because: because?.message }))
      throwIfAborted(signal)

      return { connection, socket, peerIsInitiator }
    } catch (err: any) {
      this.#metrics.errors?.increment({ outbound_to_connection: true })
      socket.destroy()
      throw err
    }
  }

  /**
   * A connection from or to a listening endpoint. Its peer may say at which address
   * it sees that
   */
  #follow (own: OwnConnection): ConnectionFollower {
    this.#closed.remove(own.local.port, own.remote)

    return {
      opened: connection => { this.#observed?.opened(connection, own) },
      closed: (connection, byPeer) => {
        if (byPeer) {
          this.#closed.add(own.local.port, own.remote)
        }

        this.#observed?.closed(connection)
      }
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

  #progress ({ onProgress }: Pick<ConnectOptions, 'onProgress'>, event: () => ReuseportTcpDialEvents): void {
    if (onProgress != null) {
      guardCall(this.#log, () => onProgress(event()))
    }
  }
}

interface OpenedConnection {
  connection: RawConnection
  socket: Socket
  peerIsInitiator(proposed?: string): boolean
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
