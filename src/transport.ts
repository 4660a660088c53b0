import cluster from 'node:cluster'
import { serviceCapabilities, transportSymbol } from '@libp2p/interface'
import { TypedEventEmitter } from 'main-event'
import { CustomProgressEvent } from 'progress-events'
import { throwIfAborted } from './abort.ts'
import { isSupported, parseDialAddr } from './address.ts'
import { callBack } from './callback.ts'
import { checkNode } from './check-node.ts'
import { checkDial, checkListener, initWithDefaults, withDefaults } from './check-options.ts'
import { toConnection } from './connection/connection.ts'
import { sourceLabel } from './dialing/dialed-from.ts'
import { Dialer } from './dialing/dialer.ts'
import { ReuseportListener } from './listening/listener.ts'
import { dialerMetrics } from './metrics.ts'
import { Observed } from './observed/observed.ts'
import { findPortReuse } from './port-reuse/find-strategy.ts'
import { noReuse } from './port-reuse/no-reuse.ts'
import { PortPool } from './port-reuse/port-pool.ts'
import { toSourcePort } from './source-port.ts'
import { BothInitiatorsError, RoleUpgrader } from './upgrading/upgrade.ts'
import type { Target } from './address.ts'
import type { NodeParts } from './check-node.ts'
import type { ConnectionFollower, RawConnection } from './connection/connection.ts'
import type { DialedFrom, FromEphemeral } from './dialing/dialed-from.ts'
import type { DialerMetrics } from './metrics.ts'
import type { ObservedComponents, ObservedEndpoint, OwnConnection, PortReuseEvents } from './observed/observed.ts'
import type { ConnectOptions, ReuseportTcpCreateListenerOptions, ReuseportTcpDialEvents, ReuseportTcpDialOptions, ReuseportTcpInit, ReuseportTcpSettings, SourcePort } from './options.ts'
import type { FindPortReuse, PortReuse, PortReuseSupport } from './port-reuse/port-reuse.ts'
import type { DialedConnection, DialRules, RoleUpgraderComponents } from './upgrading/upgrade.ts'
import type { ComponentLogger, Connection, Listener, Logger, Metrics, Startable, Transport } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { TypedEventTarget } from 'main-event'
import type { Socket } from 'node:net'

/**
 * The parts of libp2p that the transport uses. Only the logger is required:
 *
 * - With `events` and `addressManager`, the transport follows the addresses that peers observe.
 * - With `registrar`, `peerStore` and `connectionManager`, it makes AutoNAT v2 ask the connected
 * peers.
 * - In `components` and `addressManager`, it looks for mistakes in the set-up of the node.
 * - `connectionManager` and `connectionGater` decide about connections of a hole punch that
 * arrive at a listener.
 */
export interface ReuseportTcpComponents extends ObservedComponents, NodeParts, RoleUpgraderComponents {
  logger: ComponentLogger
  metrics?: Metrics
  addressManager?: ObservedComponents['addressManager'] & NodeParts['addressManager']
  connectionManager?: ObservedComponents['connectionManager'] & RoleUpgraderComponents['connectionManager']
}

/** The result of `reuseportTcp()`: a libp2p transport with some additional methods and events */
export interface ReuseportTcpTransport extends Transport<ReuseportTcpDialEvents>, TypedEventTarget<PortReuseEvents> {
  /**
   * Opens a connection and upgrades it. The unspecified address (`/ip4/0.0.0.0`, `/ip6/::`) is
   * dialed as this host's loopback address, as the kernel does. This is also done if a name
   * resolves to the unspecified address.
   *
   * The signal covers the dial and the upgrade. It has no effect on the finished connection. If
   * it aborts when the peer is already connected, the peer gets a FIN, as from `@libp2p/tcp`,
   * because an aborted dial is no error for the peer. (If the peer has sent data that was not
   * read, the kernel sends RST instead.) Only a hole punch, which is a dial with `initiator`,
   * ends with FIN and RST.
   *
   * @throws {InvalidParametersError} if the multiaddr is neither TCP over IPv4, IPv6 or DNS nor a
   * unix socket, or has port 0, or if an option has a value that can't be used
   * @throws {AbortError} when the signal aborts
   * @throws {DialError} if `reusePort` is `'require'` and there is no listening port that can be
   * used
   * @throws {Error} the system's error, if the network answered with one, or if a listening port
   * is required and each of them is taken. Also whatever the upgrader throws
   */
  dial(ma: Multiaddr, options: ReuseportTcpDialOptions): Promise<Connection>

  /**
   * Like `dial`, but without an upgrader. Returns the raw connection, which is neither encrypted
   * nor multiplexed. The counterpart of `Dial` in Go's package
   *
   * @example
   *
   * ```TypeScript
   * import { defaultLogger } from '@libp2p/logger'
   * import { multiaddr } from '@multiformats/multiaddr'
   * import { reuseportTcp } from 'libp2p-reuseport-tcp'
   *
   * const transport = reuseportTcp()({ logger: defaultLogger() })
   * const connection = await transport.connect(multiaddr('/ip4/127.0.0.1/tcp/4001'), {
   *   signal: AbortSignal.timeout(5_000)
   * })
   * connection.addEventListener('message', ({ data }) => { console.info(data.subarray()) })
   * connection.send(new TextEncoder().encode('hello'))
   * ```
   *
   * @throws {Error} as `dial`
   */
  connect(ma: Multiaddr, options?: ConnectOptions): Promise<RawConnection>

  /** @throws {InvalidParametersError} if an option has a value that can't be used */
  createListener(options: ReuseportTcpCreateListenerOptions): Listener

  /**
   * The listening endpoints, the addresses at which peers see them, and how a NAT maps them. A
   * report counts while the peer is connected and ten minutes longer. In a node, the service
   * `portReuse()` gives the same
   *
   * @example
   *
   * ```TypeScript
   * for (const { local, addresses, mapping } of transport.observed()) {
   *   // /ip4/0.0.0.0/tcp/4001 is seen at /ip4/123.123.123.123/tcp/4001, endpoint-independent
   *   console.info(`${local} is seen at ${addresses.map(({ multiaddr }) => multiaddr)}, ${mapping}`)
   * }
   * ```
   */
  observed(): ObservedEndpoint[]

  /**
   * How ports are reused on this machine, or why they are not. The answer can change if the
   * reason passes, for example a lack of descriptors. The answer does not depend on the option
   * `reusePort`
   *
   * @example
   *
   * ```TypeScript
   * const support = transport.portReuse()
   *
   * // 'SO_REUSEPORT, by net.BoundSocket', or why ports can't be reused
   * console.info(support.available ? support.name : support.why)
   * ```
   */
  portReuse(): PortReuseSupport

  /**
   * Where a connection was dialed from. `undefined` for an inbound connection, and for one that
   * another transport has dialed
   */
  sourcePort(connection: Pick<Connection, 'timeline'>): SourcePort | undefined
}

const TURNED_OFF_FOR_THIS_DIAL: FromEphemeral = { kind: 'ephemeral', why: 'turned_off', message: 'port reuse is turned off for this dial' }

/** The reason for the second dial */
const SIMULTANEOUS_OPEN: FromEphemeral = { kind: 'ephemeral', why: 'simultaneous_open', message: 'the peer dialed us at the same moment' }

const TURNED_OFF = noReuse('port reuse is turned off by LIBP2P_TCP_REUSEPORT')

/**
 * The last log line about port reuse. Port reuse is the same for all transports of the process,
 * so the line is logged once. It is logged again only if it changes, for example after file
 * descriptors ran out
 */
let loggedPortReuse: string | undefined

/**
 * The transport gives one port pool to its listeners and to its dialer. Listeners add their
 * endpoints, and the dialer chooses sources among them. Otherwise the two know nothing of each
 * other
 */
export class ReuseportTcp extends TypedEventEmitter<PortReuseEvents> implements ReuseportTcpTransport, Startable {
  readonly [transportSymbol] = true
  readonly [Symbol.toStringTag] = 'libp2p-reuseport-tcp'
  readonly [serviceCapabilities]: string[] = ['@libp2p/transport']

  readonly #components: ReuseportTcpComponents
  readonly #settings: ReuseportTcpSettings
  readonly #logger: ComponentLogger
  readonly #log: Logger
  readonly #connectionLog: Logger
  readonly #libp2pMetrics?: Metrics
  readonly #metrics: DialerMetrics
  readonly #portReuse: FindPortReuse
  readonly #pool = new PortPool(() => { this.#observed?.review() })
  readonly #dialer: Dialer
  readonly #upgrader: RoleUpgrader
  readonly #observed?: Observed

  /**
   * By the timeline object. The upgraded connection has the same timeline object as the raw
   * connection
   */
  readonly #dialed = new WeakMap<Connection['timeline'], Pick<DialedConnection, 'connection' | 'from'>>()

  constructor (components: ReuseportTcpComponents, init: ReuseportTcpInit = {}) {
    super()
    const { logger, metrics, events, addressManager } = components
    const log = logger.forComponent('libp2p:reuseport-tcp')
    const isTurnedOff = isFalse(process.env.LIBP2P_TCP_REUSEPORT)

    this.#components = components
    this.#settings = initWithDefaults(init)
    this.#logger = logger
    this.#log = log
    this.#connectionLog = log.newScope('connection')
    this.#libp2pMetrics = metrics
    this.#metrics = dialerMetrics(metrics, () => ({
      listening: this.#pool.endpoints.length,
      suspended: this.#dialer.countSuspended(),
      observed: this.observed().flatMap(({ addresses }) => addresses).length
    }))
    // if no dial may come from its port, a listener does not need SO_REUSEPORT, which would let
    // other sockets bind to the port
    this.#portReuse = logged(log, isTurnedOff ? () => TURNED_OFF : this.#settings.portReuse ?? findPortReuse)
    this.#dialer = new Dialer({
      pool: this.#pool,
      portReuse: this.#portReuse,
      isTurnedOff,
      log,
      metrics: this.#metrics
    })
    this.#upgrader = new RoleUpgrader({ components, log, metrics: this.#metrics })

    if (events != null) {
      this.#observed = new Observed({
        threshold: this.#settings.observedAddressThreshold,
        events,
        own: this,
        addressManager,
        autonat: components,
        log: log.newScope('observed'),
        isListening: local => this.#pool.has(local)
      })
    }

    // this call logs how ports are reused
    this.#portReuse()
  }

  /** libp2p calls `afterStart` only if there are `start` and `stop` */
  start (): void {}

  afterStart (): void {
    checkNode(this.#components, this.#log)
  }

  stop (): void {}

  async dial (ma: Multiaddr, options: ReuseportTcpDialOptions): Promise<Connection> {
    const target = parseDialAddr(ma)
    const rules = this.#upgrader.rulesOf(options)

    try {
      const opening = this.#open(ma, target, options, rules)
      const dialed = rules.expectsPeer ? await this.#upgrader.expecting(ma, target, opening) : await opening

      return await this.#upgrader.dialed(dialed, options, rules)
    } catch (err: any) {
      if (!(err instanceof BothInitiatorsError)) {
        throw err
      }

      this.#log('%s, so both ends acted as initiator. Dialing once more', err.message)
      this.#metrics.reuse?.increment({ simultaneous_open: true })
    }

    return this.#upgrader.dialed(await this.#open(ma, target, options, { ...rules, ephemeral: SIMULTANEOUS_OPEN }), options, rules)
  }

  async connect (ma: Multiaddr, options: ConnectOptions = {}): Promise<RawConnection> {
    return (await this.#open(ma, parseDialAddr(ma), options, this.#upgrader.rulesOf(options))).connection
  }

  createListener (options: ReuseportTcpCreateListenerOptions): Listener {
    checkListener(options)
    const { inboundSocketInactivityTimeout, maxConnections, backlog, closeServerOnMaxConnections, listenOpts, sharePort } = this.#settings

    return new ReuseportListener({
      ...withDefaults(listenOpts, options),
      pool: this.#pool,
      portReuse: this.#portReuse,
      upgrader: options.upgrader,
      upgrading: this.#upgrader,
      logger: this.#logger,
      metrics: this.#libp2pMetrics,
      sharePort: sharePort ?? cluster.isWorker,
      inactivityTimeout: inboundSocketInactivityTimeout,
      maxConnections,
      backlog,
      closeServerOnMaxConnections,
      follow: (local, remote) => this.#follow({ local, remote, dialed: false, began: performance.now() })
    })
  }

  observed (): ObservedEndpoint[] {
    return this.#observed?.endpoints() ?? []
  }

  portReuse (): PortReuseSupport {
    return this.#portReuse().support
  }

  sourcePort ({ timeline }: Pick<Connection, 'timeline'>): SourcePort | undefined {
    const dialed = this.#dialed.get(timeline)

    return dialed == null ? undefined : toSourcePort(dialed.from, dialed.connection)
  }

  listenFilter (multiaddrs: Multiaddr[]): Multiaddr[] {
    return multiaddrs.filter(isSupported)
  }

  dialFilter (multiaddrs: Multiaddr[]): Multiaddr[] {
    return this.listenFilter(multiaddrs)
  }

  async #open (ma: Multiaddr, target: Target, options: ConnectOptions, rules: DialRules): Promise<DialedConnection> {
    checkDial(options)
    const { dialOpts, reusePort, reusePortTimeout, outboundSocketInactivityTimeout } = this.#settings
    const { allowHalfOpen, ...socketOptions } = withDefaults(dialOpts, options)
    const signal = options.signal ?? new AbortController().signal

    // a dial that is aborted before it begins is not counted and has no events, as with
    // @libp2p/tcp
    throwIfAborted(signal)
    this.#progress(options, () => new CustomProgressEvent('tcp:open-connection'))
    this.#log('dialing %a', ma)

    const began = performance.now()
    const { socket, from } = await this.#counted(ma, this.#dialer.dial(target, {
      reusePort: options.reusePort ?? reusePort,
      reusePortTimeout,
      mayRace: rules.mayRace,
      ephemeral: rules.ephemeral ?? (options.reusePort === false ? TURNED_OFF_FOR_THIS_DIAL : undefined),
      socketOptions,
      signal
    }))
    const took = performance.now() - began

    try {
      const connection = toConnection({
        socket,
        remoteAddr: ma,
        follower: this.#followDialed(from, socket, began),
        direction: rules.direction,
        inactivityTimeout: outboundSocketInactivityTimeout,
        allowHalfOpen,
        metrics: this.#metrics.events,
        log: this.#connectionLog
      })

      this.#metrics.sources?.increment({ [sourceLabel(from)]: true })
      this.#log('connected to %a, source port: %s', ma, from.kind === 'reused' ? from.rule : from.kind)
      this.#dialed.set(connection.timeline, { connection, from })
      this.#progress(options, () => new CustomProgressEvent('tcp:source-port', toSourcePort(from, connection)))
      throwIfAborted(signal)

      return { connection, socket, from, took }
    } catch (err: any) {
      this.#metrics.errors?.increment({ outbound_to_connection: true })

      if (rules.abortsWith === 'FIN') {
        socket.destroy()
      } else {
        socket.end(() => { socket.resetAndDestroy() })
      }

      throw err
    }
  }

  #followDialed (from: DialedFrom, socket: Socket, began: number): ConnectionFollower | undefined {
    switch (from.kind) {
      case 'reused':
        return this.#follow({ local: from.local, remote: from.remote, dialed: true, began, source: () => socket.localAddress })
      case 'ephemeral':
        return {
          opened: connection => { this.#observed?.opened(connection, { dialed: true, began }) },
          closed: connection => { this.#observed?.closed(connection) }
        }
      default:
    }
  }

  /**
   * Follows a connection from or to a listening endpoint. Its peer may report the address at
   * which it sees the endpoint
   */
  #follow (own: OwnConnection): ConnectionFollower {
    this.#dialer.opened(own.local, own.remote)

    return {
      opened: connection => { this.#observed?.opened(connection, own) },
      closed: (connection, heldFor) => {
        this.#dialer.closed(own.local, own.remote, heldFor)
        this.#observed?.closed(connection)
      }
    }
  }

  async #counted <T> (ma: Multiaddr, dialing: Promise<T>): Promise<T> {
    try {
      const result = await dialing
      this.#metrics.events?.increment({ connect: true })

      return result
    } catch (err: any) {
      if (err.name === 'AbortError') {
        this.#log('dial to %a aborted', ma)
        this.#metrics.events?.increment({ abort: true })
      } else {
        this.#log.error('dial to %a errored - %e', ma, err)
        this.#metrics.events?.increment({ error: true })
      }

      throw err
    }
  }

  #progress ({ onProgress }: Pick<ConnectOptions, 'onProgress'>, event: () => ReuseportTcpDialEvents): void {
    if (onProgress != null) {
      callBack(this.#log, () => onProgress(event()))
    }
  }
}

/** Logs how ports are reused, at the first call and when it has changed */
function logged (log: Logger, portReuse: FindPortReuse): FindPortReuse {
  let last: PortReuse | undefined

  return look => {
    const found = portReuse(look)

    if (found !== last) {
      const { support } = found
      const line = support.available ? `ports are reused by ${support.name}` : `ports can not be reused here, dialing from ephemeral ports: ${support.why}`

      if (line !== loggedPortReuse) {
        loggedPortReuse = line
        log(line)
      }

      last = found
    }

    return found
  }
}

/** Is this a value that turns `LIBP2P_TCP_REUSEPORT` off in Go? */
function isFalse (value: string = ''): boolean {
  return ['false', 'f', '0'].includes(value.toLowerCase())
}
