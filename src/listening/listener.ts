import { once } from 'node:events'
import net from 'node:net'
import { AlreadyStartedError } from '@libp2p/interface'
import { getThinWaistAddresses } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { TypedEventEmitter, setMaxListeners } from 'main-event'
import pDefer from 'p-defer'
import { untilAborted } from '../abort.ts'
import { parseListenAddr, resolveName } from '../address.ts'
import { callBack } from '../callback.ts'
import { familyOf } from '../endpoint.ts'
import { listenerMetrics } from '../metrics.ts'
import { acceptQueue } from './accept-queue.ts'
import { Accepted } from './accept.ts'
import { tellListening, whenDisconnected } from './cluster.ts'
import type { AcceptInit } from './accept.ts'
import type { Target } from '../address.ts'
import type { Endpoint } from '../endpoint.ts'
import type { ListenerMetrics } from '../metrics.ts'
import type { CloseServerOnMaxConnectionsOpts } from '../options.ts'
import type { PoolEntry, PortPool } from '../port-reuse/port-pool.ts'
import type { FindPortReuse } from '../port-reuse/port-reuse.ts'
import type { AbortOptions, Listener, ListenerEvents, Logger, Metrics } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Server, Socket } from 'node:net'

export interface ListenerInit extends AcceptInit {
  pool: PortPool
  portReuse: FindPortReuse
  metrics?: Metrics
  sharePort: boolean
  maxConnections: number
  backlog: number
  closeServerOnMaxConnections?: CloseServerOnMaxConnectionsOpts
  noDelay: boolean
  keepAlive: boolean
  keepAliveInitialDelay: number
}

/** The name of a listener that has not listened yet */
const UNKNOWN = 'unknown'

/** The values of the metric `libp2p_tcp_listener_status_info`. The other states do not change it */
const STATUS_CODES: Partial<Record<State['status'], number>> = { idle: 0, listening: 1, paused: 2 }

/**
 * How long a paused listener waits after it could not listen again, in ms. The first wait is
 * 1 s, and each wait is twice as long as the one before, up to a minute
 */
const FIRST_RETRY_MS = 1_000
const MAX_RETRY_MS = 60_000

interface Running {
  readonly ma: Multiaddr
  readonly entry: PoolEntry

  /** Aborts when the listener stops accepting. Ends a start that is under way */
  readonly stop: AbortController

  /** Aborts upgrades when the listener closes */
  readonly shutdown: AbortController
}

/** A unix path, or an endpoint with the real port of the listener */
type ListenTarget = Exclude<Target, { type: 'name' }>

interface Opened extends Running {
  readonly target: ListenTarget
}

/**
 * - `idle`: never listened, or closed
 * - `starting`: `listen()` is under way
 * - `listening`: accepts connections
 * - `draining`: accepts the connections in its queue, and is then paused, ending or idle
 * - `paused`: at its connection limit. Dials still use its port
 * - `ending`: the worker of a cluster has disconnected. The listener accepts no more
 * connections, and is idle when its connections have ended
 */
type State =
  { readonly status: 'idle' } |
  Running & { readonly status: 'starting' | 'ending' } |
  Opened & { readonly status: 'listening' | 'draining' | 'paused' }

/** Listens on one multiaddr */
export class ReuseportListener extends TypedEventEmitter<ListenerEvents> implements Listener {
  readonly #init: ListenerInit
  readonly #log: Logger
  readonly #metrics: ListenerMetrics
  readonly #server: Server
  readonly #accepted: Accepted
  #state: State = { status: 'idle' }
  #label = UNKNOWN
  #draining?: Promise<void>
  #closing?: Promise<void>
  #retry?: NodeJS.Timeout

  constructor (init: ListenerInit) {
    super()

    const { maxConnections, noDelay, keepAlive, keepAliveInitialDelay } = init

    this.#init = init
    this.#log = init.logger.forComponent('libp2p:reuseport-tcp:listener')
    this.#metrics = listenerMetrics(init.metrics)
    this.#accepted = new Accepted(init, this.#metrics)

    this.#server = net.createServer({ noDelay, keepAlive, keepAliveInitialDelay })
    this.#server.on('connection', socket => { this.#onSocket(socket) })
    this.#server.on('drop', () => { this.#count('drop') })
    this.#server.on('error', err => { this.#onError(err) })
    this.#server.maxConnections = maxConnections
  }

  /**
   * Starts to listen. With SO_REUSEPORT, another process of the same user on this port is
   * usually an error (EADDRINUSE). In two cases it is not noticed:
   *
   * - Both processes start to listen within the same microseconds.
   * - The other process listens on an address that libuv does not list, for example 127.0.0.3 or
   * the address of an interface without carrier. And this transport already listens on another
   * address with this port when it starts to listen on the wildcard.
   *
   * @throws {AlreadyStartedError} if the listener listens already
   * @throws {InvalidParametersError} if the multiaddr can't be listened on
   * @throws {AbortError} if the listener is closed meanwhile
   * @throws {Error} the system's error: EADDRINUSE if another process listens on the port,
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
    this.#become({ ...running, status: 'starting' })
    signal.addEventListener('abort', whenDisconnected(() => { void this.#end() }))

    try {
      await this.#open(target.type === 'name' ? await this.#resolve(target, signal) : target, running)
    } catch (err) {
      running.entry.remove()

      if (!signal.aborted) {
        this.#become({ status: 'idle' })
        running.stop.abort()
      }

      throw err
    }
  }

  getAddrs (): Multiaddr[] {
    // when a worker disconnects, Node first closes the servers whose socket belongs to the
    // primary, and emits `disconnect` later
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
   * Stops accepting, aborts the upgrades that are under way, and destroys the accepted
   * connections. When it resolves, all these connections are closed and have sent their close
   * event.
   *
   * The connections that wait in the kernel's queue are reset. If the port is shared, they are
   * accepted first, so that a short exchange can still end. With `net.ipv4.tcp_migrate_req=1`
   * (Linux 5.14) the kernel gives these connections to other listeners of the port
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
      this.#become({ status: 'idle' })

      if (state.status !== 'ending') {
        this.#stopAccepting(state)
      }

      state.shutdown.abort()
      this.#accepted.destroy()
    }

    await this.#closing
  }

  /**
   * The worker of a cluster has disconnected. The listener accepts no more connections, and its
   * connections stay until they end. Node treats the servers that the primary knows in the same
   * way
   */
  async #end (): Promise<void> {
    await this.#drain()
    const state = this.#state

    if (state.status !== 'idle' && state.status !== 'ending') {
      this.#become({ ...state, status: 'ending' })
      this.#stopAccepting(state)
    }
  }

  /** Accepts the connections in the queue, before the server is closed */
  async #drain (): Promise<void> {
    if (this.#state.status === 'listening') {
      this.#become({ ...this.#state, status: 'draining' })
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

    // the server's close event comes before the last sockets have closed
    await Promise.all([serverClosed.promise, this.#accepted.closed()])

    if (this.#state.status === 'ending') {
      this.#become({ status: 'idle' })
    }

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
    this.#become({ ...running, status: 'listening', target: opened })
    this.#log('listening on %s', this.#label)
    // a listener without connections is in the metrics, too
    this.#metrics.inboundConnections?.increment({ [this.#label]: 0 })
    this.safeDispatchEvent('listening')

    if (bound != null) {
      tellListening(bound)
    }
  }

  /** If this returns an endpoint, the endpoint is in the pool. Dials that begin later use it */
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
    const state = this.#state
    this.#count('connection')

    if (state.status !== 'listening' && state.status !== 'draining') {
      socket.destroy()
      return
    }

    const { ma, shutdown: { signal }, target } = state

    void this.#accepted.add(socket, { ma, endpoint: target.type === 'ip' ? target.endpoint : undefined, label: this.#label, signal }).then(isUpgraded => {
      if (isUpgraded) {
        void this.#pauseAboveLimit()
      }
    })
    socket.once('close', () => { this.#resumeBelowLimit() })
  }

  async #pauseAboveLimit (): Promise<void> {
    const { sharePort, closeServerOnMaxConnections: { closeAbove = Infinity } = {} } = this.#init

    if (this.#state.status !== 'listening' || !this.#server.listening || this.#accepted.count() < closeAbove) {
      return
    }

    this.#log('pausing %s, %d of %d connections are open', this.#label, this.#accepted.count(), closeAbove)

    if (sharePort) {
      // the connections in the queue would be reset, so they are accepted first. Later ones go to
      // the other listeners of the port
      await this.#drain()
    }

    const state = this.#state

    // the listener may have been closed meanwhile
    if (state.status !== 'listening' && state.status !== 'draining') {
      return
    }

    this.#become({ ...state, status: 'paused' })
    state.entry.paused()
    this.#server.close()
    // connections may have closed while the queue was accepted
    this.#resumeBelowLimit()
  }

  /** @param delay - after how many ms to try again if it fails */
  #resumeBelowLimit (delay: number = FIRST_RETRY_MS): void {
    const state = this.#state
    const { listenBelow = 0, onListenError } = this.#init.closeServerOnMaxConnections ?? {}

    if (state.status !== 'paused' || this.#accepted.count() >= listenBelow) {
      return
    }

    this.#log('resuming %s, %d connections are open', this.#label, this.#accepted.count())
    clearTimeout(this.#retry)
    this.#become({ ...state, status: 'starting' })

    this.#open(state.target, state).catch(err => {
      if (state.stop.signal.aborted) {
        return
      }

      // another process may have taken the port
      this.#log.error('could not listen on %s again, next attempt in %dms - %e', this.#label, delay, err)
      this.#become(state)
      state.entry.paused()
      this.#retry = setTimeout(() => { this.#resumeBelowLimit(Math.min(2 * delay, MAX_RETRY_MS)) }, delay).unref()
      callBack(this.#log, () => onListenError?.(err))
    })
  }

  #onError (err: Error): void {
    this.#log('listener %s failed - %e', this.#label, err)
    this.#metrics.errors?.increment({ [`${this.#label} listen_error`]: true })
    this.safeDispatchEvent('error', { detail: err })
  }

  #count (event: 'connection' | 'drop'): void {
    this.#metrics.events?.increment({ [`${this.#label} ${event}`]: true })
  }

  /** The one place where the state changes */
  #become (state: State): void {
    this.#state = state

    const code = STATUS_CODES[state.status]

    if (code != null && this.#label !== UNKNOWN) {
      this.#metrics.status?.update({ [this.#label]: code })
    }
  }
}

/** The target with its real port, in case the kernel chose the port */
function withPort (target: ListenTarget, address: ReturnType<Server['address']>): ListenTarget {
  return target.type === 'unix' || address == null || typeof address === 'string'
    ? target
    : { type: 'ip', endpoint: { host: target.endpoint.host, port: address.port } }
}
