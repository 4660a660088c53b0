import { once } from 'node:events'
import net from 'node:net'
import { AlreadyStartedError } from '@libp2p/interface'
import { getThinWaistAddresses } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { TypedEventEmitter, setMaxListeners } from 'main-event'
import pDefer from 'p-defer'
import { untilAborted } from './abort.ts'
import { parseListenAddr, resolveName } from './address.ts'
import { callBack } from './callback.ts'
import { toConnection } from './connection/connection.ts'
import { familyOf } from './endpoint.ts'
import { acceptQueue } from './listening/accept-queue.ts'
import { tellListening, whenDisconnected } from './listening/cluster.ts'
import { listenerMetrics } from './metrics.ts'
import type { Target } from './address.ts'
import type { ConnectionFollower, RawConnection } from './connection/connection.ts'
import type { Endpoint } from './endpoint.ts'
import type { RoleUpgrader } from './hole-punching/upgrade.ts'
import type { ListenerMetrics } from './metrics.ts'
import type { CloseServerOnMaxConnectionsOpts } from './options.ts'
import type { PoolEntry, PortPool } from './port-reuse/port-pool.ts'
import type { Look, PortReuse } from './port-reuse/strategy.ts'
import type { AbortOptions, ComponentLogger, Listener, ListenerEvents, Logger, Metrics, Upgrader } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Server, Socket } from 'node:net'

export interface ListenerInit {
  pool: PortPool
  portReuse(look: Look): PortReuse
  upgrader: Upgrader
  roleUpgrader: RoleUpgrader
  logger: ComponentLogger
  metrics?: Metrics
  sharePort: boolean
  inactivityTimeout: number
  maxConnections: number
  backlog: number
  closeServerOnMaxConnections?: CloseServerOnMaxConnectionsOpts
  noDelay: boolean
  keepAlive: boolean
  keepAliveInitialDelay: number
  allowHalfOpen: boolean

  /** Follows a connection that arrived at a TCP port */
  follow(local: Endpoint, remote: Endpoint): ConnectionFollower
}

/** The values of the metric `libp2p_tcp_listener_status_info` */
const STATUS_CODE = { idle: 0, starting: 1, listening: 1, draining: 1, paused: 2, ending: 0 }

/**
 * How long to wait before a paused listener that could not listen again tries once more, in
 * ms: 1 s at first, then twice as long each time, up to a minute
 */
const FIRST_RETRY_MS = 1_000
const MAX_RETRY_MS = 60_000

interface Running {
  readonly ma: Multiaddr
  readonly entry: PoolEntry

  /** Aborts a start that is under way when no more is to be accepted */
  readonly stop: AbortController

  /** Aborts upgrades when the listener closes */
  readonly shutdown: AbortController
}

/** A unix path, or an endpoint with the port that is really listened on */
type ListenTarget = Exclude<Target, { type: 'name' }>

interface Opened extends Running {
  readonly target: ListenTarget
}

/**
 * - `idle`: never listened, or closed
 * - `starting`: `listen()` is under way
 * - `listening`: accepts connections
 * - `draining`: accepts what waits in its queue, then it is paused or ends
 * - `paused`: at its connection limit. Dials still use its port
 * - `ending`: the worker of a cluster has disconnected. It accepts no more, and is idle when
 * its connections have ended
 */
type State =
  { readonly status: 'idle' } |
  Running & { readonly status: 'starting' | 'ending' } |
  Opened & { readonly status: 'listening' | 'draining' | 'paused' }

/** Listens on one multiaddr */
export class ReuseportListener extends TypedEventEmitter<ListenerEvents> implements Listener {
  readonly #init: ListenerInit
  readonly #log: Logger
  readonly #connectionLog: Logger
  readonly #metrics: ListenerMetrics
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #state: State = { status: 'idle' }
  #label = 'unknown'
  #draining?: Promise<void>
  #closing?: Promise<void>
  #retry?: NodeJS.Timeout

  constructor (init: ListenerInit) {
    super()

    const { maxConnections, noDelay, keepAlive, keepAliveInitialDelay } = init

    this.#init = init
    this.#log = init.logger.forComponent('libp2p:reuseport-tcp:listener')
    this.#connectionLog = init.logger.forComponent('libp2p:reuseport-tcp:connection')
    this.#metrics = listenerMetrics(init.metrics)

    this.#server = net.createServer({ noDelay, keepAlive, keepAliveInitialDelay })
    this.#server.on('connection', socket => { this.#onSocket(socket) })
    this.#server.on('drop', () => { this.#count('drop') })
    this.#server.on('error', err => { this.#onError(err) })
    this.#server.maxConnections = maxConnections
  }

  /**
   * With SO_REUSEPORT, two cases of another process of the same user on this port are not
   * noticed: it starts to listen within the same microseconds, or it listens on an address
   * that libuv does not list (127.0.0.3, say, or that of an interface without carrier) while
   * we listen on another address with that port and then on the wildcard.
   *
   * @throws {AlreadyStartedError} if it listens already
   * @throws {InvalidParametersError} if the multiaddr can't be listened on
   * @throws {AbortError} if it is closed meanwhile
   * @throws {Error} the system's error: EADDRINUSE if somebody else listens on the port,
   * EADDRNOTAVAIL, EACCES…
   */
  async listen (ma: Multiaddr): Promise<void> {
    if (this.#state.status !== 'idle') {
      throw new AlreadyStartedError(`Already listening on ${this.#state.ma}`)
    }

    const target = parseListenAddr(ma)
    const running: Running = { ma, entry: this.#init.pool.add(), stop: new AbortController(), shutdown: new AbortController() }
    const { signal } = running.stop
    setMaxListeners(Infinity, running.shutdown.signal)
    this.#state = { ...running, status: 'starting' }
    signal.addEventListener('abort', whenDisconnected(() => { void this.#end() }))

    try {
      await this.#open(target.type === 'name' ? await this.#resolve(target, signal) : target, running)
    } catch (err) {
      running.entry.remove()

      if (!signal.aborted) {
        this.#state = { status: 'idle' }
        running.stop.abort()
      }

      throw err
    }
  }

  getAddrs (): Multiaddr[] {
    // Node closes a server whose socket is the primary's before it tells that the worker disconnects
    if (this.#state.status !== 'listening' || !this.#server.listening) {
      return []
    }

    const { ma, target } = this.#state

    return target.type === 'unix'
      ? [multiaddr(`/unix/${encodeURIComponent(target.path)}`)]
      : getThinWaistAddresses(ma, target.endpoint.port)
  }

  updateAnnounceAddrs (): void {}

  /**
   * Stops accepting, aborts upgrades in flight, destroys the connections that were accepted.
   * When it resolves, all of them are closed and have sent their close event.
   *
   * The connections that wait in the kernel's queue are reset. If the port is shared, they are
   * accepted first, so that a short exchange can still end. With `net.ipv4.tcp_migrate_req=1`
   * (Linux 5.14) the kernel gives them to others that listen on the port
   *
   * @throws {AbortError}
   */
  async close ({ signal }: AbortOptions = {}): Promise<void> {
    await untilAborted(this.#close(), signal)
  }

  async #close (): Promise<void> {
    if (this.#init.sharePort) {
      await this.#drain()
    }

    const state = this.#state

    if (state.status !== 'idle') {
      this.#state = { status: 'idle' }

      if (state.status !== 'ending') {
        this.#stopAccepting(state)
      }

      state.shutdown.abort()

      for (const socket of this.#sockets) {
        socket.destroy()
      }
    }

    await this.#closing
  }

  /**
   * The worker of a cluster has disconnected. Accepts no more, and leaves the connections
   * alone until they end: Node does that with the servers that the primary knows
   */
  async #end (): Promise<void> {
    await this.#drain()
    const state = this.#state

    if (state.status !== 'idle' && state.status !== 'ending') {
      this.#state = { ...state, status: 'ending' }
      this.#stopAccepting(state)
    }
  }

  /** Accepts what waits in the queue, before the server is closed */
  async #drain (): Promise<void> {
    if (this.#state.status === 'listening') {
      this.#state = { ...this.#state, status: 'draining' }
      this.#draining = acceptQueue(this.#server, this.#init.backlog)
    }

    await this.#draining
  }

  #stopAccepting ({ entry, stop }: Running): void {
    this.#log('closing %s', this.#label)
    clearTimeout(this.#retry)
    entry.remove()
    stop.abort()
    this.#closing = this.#closed()
  }

  /** Closes the server and resolves when all connections have closed as well */
  async #closed (): Promise<void> {
    const serverClosed = pDefer<unknown>()
    this.#server.close(serverClosed.resolve)

    // the server says that it is closed before the last sockets do
    await Promise.all([serverClosed.promise, ...[...this.#sockets].map(async socket => new Promise(resolve => socket.once('close', resolve)))])

    if (this.#state.status === 'ending') {
      this.#state = { status: 'idle' }
    }

    this.#updateStatus()
    this.safeDispatchEvent('close')
  }

  /** @throws {Error} the resolver's error, or {@link AbortError} */
  async #resolve ({ name, port, family }: Target & { type: 'name' }, signal: AbortSignal): Promise<ListenTarget> {
    try {
      const [endpoint] = await resolveName(name, port, family, signal)

      return { type: 'ip', endpoint }
    } catch (err: any) {
      if (!signal.aborted) {
        this.#onError(err)
      }

      throw err
    }
  }

  /** @throws {Error} the system's error */
  async #open (target: ListenTarget, running: Running): Promise<void> {
    const bound = this.#bindAndListen(target, running.entry)

    // rejects with the server's error
    await once(this.#server, 'listening', { signal: running.stop.signal })

    const address = this.#server.address()
    const opened = withPort(target, address)

    if (bound == null && opened.type === 'ip') {
      running.entry.listening(opened.endpoint)
    }

    this.#label = address == null || typeof address === 'string' ? `${address}` : `${address.address}:${address.port}`
    this.#state = { ...running, status: 'listening', target: opened }
    this.#log('listening on %s', this.#label)
    this.#updateStatus()
    this.#countConnections(this.#label, 0)
    this.safeDispatchEvent('listening')

    if (bound != null) {
      tellListening(bound)
    }
  }

  /** When this returns an endpoint, it is in the pool: dials that begin afterwards use it */
  #bindAndListen (target: ListenTarget, entry: PoolEntry): Endpoint | undefined {
    const { backlog, pool, portReuse, sharePort } = this.#init

    if (target.type === 'unix') {
      entry.remove()
      this.#server.listen({ path: target.path, backlog })

      return
    }

    try {
      entry.starting(familyOf(target.endpoint.host))
      const bound = portReuse('now').listen(this.#server, target.endpoint, { backlog, sharePort, isOurs: endpoint => pool.holds(endpoint) })

      if (bound != null) {
        entry.listening(bound)
      }

      return bound
    } catch (err: any) {
      this.#onError(err)
      throw err
    }
  }

  #onSocket (socket: Socket): void {
    const { inactivityTimeout, allowHalfOpen } = this.#init
    const label = this.#label
    const state = this.#state
    this.#count('connection')

    if (state.status !== 'listening' && state.status !== 'draining') {
      socket.destroy()
      return
    }

    this.#sockets.add(socket)
    this.#countConnections(label, 1)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      this.#countConnections(label, -1)
      this.#resumeBelowLimit()
    })

    const ends = state.target.type === 'unix'
      ? undefined
      : { local: state.target.endpoint, remote: { host: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 } }
    let connection: RawConnection

    try {
      connection = toConnection({
        socket,
        direction: 'inbound',
        ...(ends == null ? { remoteAddr: state.ma, localAddr: state.ma } : { follower: this.#init.follow(ends.local, ends.remote) }),
        inactivityTimeout,
        allowHalfOpen,
        metrics: this.#metrics.events,
        metricPrefix: `${this.#label} `,
        log: this.#connectionLog
      })
    } catch (err: any) {
      this.#log.error('inbound connection failed - %e', err)
      this.#metrics.errors?.increment({ [`${this.#label} inbound_to_connection`]: true })
      socket.destroy()
      return
    }

    this.#log('new inbound connection %a', connection.remoteAddr)

    void this.#upgrade(connection, socket, ends?.remote, state.shutdown.signal)
  }

  async #upgrade (connection: RawConnection, socket: Socket, remote: Endpoint | undefined, signal: AbortSignal): Promise<void> {
    try {
      await this.#init.roleUpgrader.accept(connection, socket, remote, this.#init.upgrader, signal)
      this.#log('inbound connection upgraded %a', connection.remoteAddr)
      void this.#pauseAboveLimit()
    } catch (err: any) {
      this.#log.error('inbound connection upgrade failed - %e', err)
      this.#metrics.errors?.increment({ [`${this.#label} inbound_upgrade`]: true })
      connection.abort(err)
    }
  }

  async #pauseAboveLimit (): Promise<void> {
    const { sharePort, closeServerOnMaxConnections: { closeAbove = Infinity } = {} } = this.#init

    if (this.#state.status !== 'listening' || !this.#server.listening || this.#sockets.size < closeAbove) {
      return
    }

    this.#log('pausing %s, %d of %d connections are open', this.#label, this.#sockets.size, closeAbove)

    if (sharePort) {
      // whoever would be reset can be accepted by somebody else
      await this.#drain()
    }

    const state = this.#state

    // it may have been closed meanwhile
    if (state.status !== 'listening' && state.status !== 'draining') {
      return
    }

    this.#state = { ...state, status: 'paused' }
    state.entry.paused()
    this.#server.close()
    this.#updateStatus()
    // connections may have closed while the queue was accepted
    this.#resumeBelowLimit()
  }

  /** @param delay - after how many ms to try again if it fails */
  #resumeBelowLimit (delay: number = FIRST_RETRY_MS): void {
    const state = this.#state
    const { listenBelow = 0, onListenError } = this.#init.closeServerOnMaxConnections ?? {}

    if (state.status !== 'paused' || this.#sockets.size >= listenBelow) {
      return
    }

    this.#log('resuming %s, %d connections are open', this.#label, this.#sockets.size)
    clearTimeout(this.#retry)
    this.#state = { ...state, status: 'starting' }

    this.#open(state.target, state).catch(err => {
      if (state.stop.signal.aborted) {
        return
      }

      // somebody may have taken the port
      this.#log.error('could not listen on %s again, next attempt in %dms - %e', this.#label, delay, err)
      this.#state = state
      state.entry.paused()
      this.#retry = setTimeout(() => { this.#resumeBelowLimit(Math.min(2 * delay, MAX_RETRY_MS)) }, delay).unref()
      callBack(this.#log, () => onListenError?.(err))
    })
  }

  #onError (err: Error): void {
    this.#log('%s failed - %e', this.#label, err)
    this.#metrics.errors?.increment({ [`${this.#label} listen_error`]: true })
    this.safeDispatchEvent('error', { detail: err })
  }

  #count (event: 'connection' | 'drop'): void {
    this.#metrics.events?.increment({ [`${this.#label} ${event}`]: true })
  }

  /** Not by the number of sockets: another listener can have the same address */
  #countConnections (label: string, more: number): void {
    this.#metrics.inboundConnections?.increment({ [label]: more })
  }

  #updateStatus (): void {
    this.#metrics.status?.update({ [this.#label]: STATUS_CODE[this.#state.status] })
  }
}

/** The target with the port that the kernel chose, if that was asked for */
function withPort (target: ListenTarget, address: ReturnType<Server['address']>): ListenTarget {
  return target.type === 'unix' || address == null || typeof address === 'string'
    ? target
    : { type: 'ip', endpoint: { host: target.endpoint.host, port: address.port } }
}
