import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { DialError } from '@libp2p/interface'
import { throwIfAborted, untilAborted } from '../abort.ts'
import { resolveName, toDestination } from '../address.ts'
import { familyOf } from '../endpoint.ts'
import { chooseSources, needsRoute } from '../port-reuse/choose-source.ts'
import { routeSource } from '../port-reuse/route.ts'
import { firstConnected } from './first-connected.ts'
import { CONNECTION_ATTEMPT_DELAY_MS, race } from './race.ts'
import { RecentlyClosed } from './recently-closed.ts'
import { SuspendedEndpoints } from './suspended-endpoints.ts'
import type { DialedFrom, FromEphemeral } from './dialed-from.ts'
import type { Rival } from './first-connected.ts'
import type { Target } from '../address.ts'
import type { Endpoint } from '../endpoint.ts'
import type { DialerMetrics } from '../metrics.ts'
import type { Source } from '../port-reuse/choose-source.ts'
import type { PortPool } from '../port-reuse/port-pool.ts'
import type { PortReuse } from '../port-reuse/port-reuse.ts'
import type { Logger } from '@libp2p/interface'
import type { Socket, SocketConstructorOpts } from 'node:net'

export interface DialerInit {
  pool: PortPool
  portReuse(): PortReuse

  /** True: no dial may come from a listening port. The dial's own options don't matter */
  isTurnedOff: boolean
  log: Logger
  metrics: Pick<DialerMetrics, 'reuse'>
}

/** The options of one dial */
export interface DialOptions {
  /** Dial from a listening port? `require`: fail if this is not possible */
  reusePort: boolean | 'require'

  /** If given, the dial comes from an ephemeral port, for this reason. `reusePort` is ignored */
  ephemeral?: FromEphemeral

  /**
   * How long a dial from a listening port may be without an answer before a dial from an
   * ephemeral port starts in parallel, in ms. `Infinity`: for ever
   */
  reusePortTimeout: number

  /**
   * May a dial from an ephemeral port start as well if the dial from a listening port gets no
   * answer, or fails?
   */
  mayRace: boolean
  socketOptions: SocketConstructorOpts
  signal: AbortSignal
}

export interface DialedSocket {
  readonly socket: Socket
  readonly from: DialedFrom
}

/**
 * The errors of connect(2) when the 4-tuple is taken: EADDRNOTAVAIL on Linux, EADDRINUSE on
 * BSD-derived kernels
 */
const TAKEN = ['EADDRINUSE', 'EADDRNOTAVAIL']

/**
 * An error after this time, in ms, is not the network's answer to a SYN. It means that the
 * kernel has given up: it waits 3 s for ARP, and two minutes for an answer to a SYN. A dial
 * from an ephemeral port would only take the same time again
 */
const REFUSAL_MS = 2_000

/** The peer accepted the connection before it reset it, so nothing refuses the port */
const WAS_CONNECTED = 'ECONNRESET'

/** How long to wait before a 4-tuple that the kernel still holds is tried again, in ms */
const TAKEN_RETRY_MS = 10

/** Dials from the ports of the pool, or from an ephemeral port if none of them can be used */
export class Dialer {
  readonly #init: DialerInit
  readonly #suspended = new SuspendedEndpoints()
  readonly #recentlyClosed = new RecentlyClosed()

  constructor (init: DialerInit) {
    this.#init = init
  }

  /**
   * Opens a connection to `target`
   *
   * @throws {AbortError} when the signal aborts
   * @throws {DialError} if a listening port is required and there is none
   * @throws {Error} the system's error, if there is one
   */
  async dial (target: Target, options: DialOptions): Promise<DialedSocket> {
    const { signal, socketOptions } = options
    throwIfAborted(signal)

    switch (target.type) {
      case 'unix': {
        const socket = new net.Socket(socketOptions).connect({ path: target.path })

        return { socket: await firstConnected(socket, signal), from: { kind: 'unix' } }
      }
      case 'ip':
        return this.#connectTo(target.endpoint, options)
      default: {
        const endpoints = await resolveName(target.name, target.port, target.family, signal)

        return race(endpoints.map(toDestination).map(destination => async (signal: AbortSignal) => this.#connectTo(destination, { ...options, signal })), {
          delay: CONNECTION_ATTEMPT_DELAY_MS,
          signal,
          discard: ({ socket }) => { socket.destroy() }
        })
      }
    }
  }

  /** A connection from or to a listening port has opened */
  opened (local: Endpoint, remote: Endpoint): void {
    this.#recentlyClosed.remove(local.port, remote)
  }

  /** Such a connection has closed. The kernel may hold its 4-tuple for `heldFor` ms */
  closed (local: Endpoint, remote: Endpoint, heldFor: number): void {
    this.#recentlyClosed.add(local.port, remote, heldFor)
  }

  /** How many listening endpoints are not dialed from at the moment */
  countSuspended (): number {
    return this.#suspended.count()
  }

  async #connectTo (destination: Endpoint, options: DialOptions): Promise<DialedSocket> {
    const { log } = this.#init
    const { reusePort, signal, socketOptions } = options
    const { sources, otherwise } = await this.#findSources(destination, options)
    let from = otherwise
    let lastError: Error | undefined

    for (const source of sources) {
      log('dialing %s:%d from %s:%d, rule: %s', destination.host, destination.port, source.host, source.port, source.rule)

      try {
        return await this.#retryWhileTaken(source, destination, options)
      } catch (err: any) {
        if (!(err instanceof SourceUnusableError)) {
          throw err
        }

        log('can not dial %s:%d from %s:%d - %s', destination.host, destination.port, source.host, source.port, err.message)
        from = { kind: 'ephemeral', why: 'unusable', message: err.message }
        lastError = err.cause as Error
      }
    }

    if (reusePort === 'require') {
      throw lastError ?? new DialError(`Can not dial ${destination.host}:${destination.port} from a listening port: ${from.message}`)
    }

    log('dialing %s:%d from an ephemeral port: %s', destination.host, destination.port, from.message)
    const socket = new net.Socket(socketOptions).connect(destination)

    return { socket: await firstConnected(socket, signal), from }
  }

  /**
   * The endpoints to dial from, and the reason for an ephemeral port if none of them can be
   * used. If no bound listener is of use for this destination, it waits for the listeners of
   * this family that are about to be bound
   */
  async #findSources (destination: Endpoint, { ephemeral, reusePort, signal }: DialOptions): Promise<{ sources: Source[], otherwise: FromEphemeral }> {
    const { pool, portReuse, isTurnedOff } = this.#init

    if (ephemeral != null) {
      return { sources: [], otherwise: ephemeral }
    }

    if (isTurnedOff || reusePort === false) {
      return { sources: [], otherwise: { kind: 'ephemeral', why: 'turned_off', message: `port reuse is turned off by ${isTurnedOff ? 'LIBP2P_TCP_REUSEPORT' : 'the option reusePort'}` } }
    }

    const { support } = portReuse()

    if (!support.available) {
      return { sources: [], otherwise: { kind: 'ephemeral', why: 'unavailable', message: support.why } }
    }

    while (true) {
      const starting = pool.nextStart(familyOf(destination.host))
      const route = needsRoute(pool.endpoints, destination) ? await untilAborted(routeSource(destination), signal) : undefined
      const found = chooseSources(pool.endpoints, destination, route)
      const sources = reusePort === 'require' ? found : found.filter(source => !this.#suspended.has(source))

      if (sources.length === 0 && starting != null) {
        await untilAborted(starting, signal)
        continue
      }

      return {
        sources,
        otherwise: found.length === 0
          ? { kind: 'ephemeral', why: 'no_listener', message: `no listener on IPv${familyOf(destination.host)} can be dialed from` }
          : { kind: 'ephemeral', why: 'suspended', message: 'several peers could be reached from an ephemeral port, but not from the listening port' }
      }
    }
  }

  /**
   * Tries again while the kernel may still hold the 4-tuple of a connection that has closed
   *
   * @throws {SourceUnusableError} if no socket can be bound for this source, if the 4-tuple is
   * taken, or if the socket connected to itself
   */
  async #retryWhileTaken (source: Source, destination: Endpoint, options: DialOptions): Promise<DialedSocket> {
    while (true) {
      try {
        return await this.#raceFrom(source, destination, options)
      } catch (err: any) {
        if (!(err instanceof SourceUnusableError) || !isTaken(err.cause as Error) || !this.#recentlyClosed.isHeld(source.port, destination)) {
          throw err
        }

        await delay(TAKEN_RETRY_MS)
      }
    }
  }

  /**
   * Some networks drop packets from a listening port (go-tcp-transport issue 18), others refuse
   * them. So a dial from an ephemeral port starts in parallel if there is no answer for
   * `reusePortTimeout` ms, or at once if the dial fails before. The first to connect wins
   */
  async #raceFrom (source: Source, destination: Endpoint, options: DialOptions): Promise<DialedSocket> {
    const { mayRace, reusePort, reusePortTimeout, signal, socketOptions } = options
    const { host, port, rule } = source
    let socket: Socket

    throwIfAborted(signal)

    try {
      socket = await this.#init.portReuse().connect(source, destination, socketOptions)
    } catch (err: any) {
      throw new SourceUnusableError(err)
    }

    const started = Date.now()
    const rival: Rival = {
      after: reusePortTimeout,
      checks: failure => isRefusal(failure) && Date.now() - started < REFUSAL_MS,
      start: failure => {
        this.#init.log('dialing %s:%d from an ephemeral port as well: %s', destination.host, destination.port, explain(source, reusePortTimeout, failure))

        return new net.Socket(socketOptions).connect(destination)
      }
    }
    let connected: Socket

    try {
      connected = await firstConnected(socket, signal, mayRace && reusePort !== 'require' ? rival : undefined)
    } catch (err: any) {
      throw isTaken(err) ? new SourceUnusableError(err) : err
    }

    if (connected !== socket) {
      this.#countEphemeral(source, destination)

      return {
        socket: connected,
        from: { kind: 'ephemeral', why: socket.errored == null ? 'faster' : 'refused', message: explain(source, reusePortTimeout, socket.errored) }
      }
    }

    // the ports are known. Most dials need not ask the system for the addresses
    if (port === destination.port && isConnectedToItself(socket)) {
      // no other socket has this connection
      socket.resetAndDestroy()
      throw new SourceUnusableError(new DialError(`the socket connected to itself at ${destination.host}:${destination.port}`))
    }

    this.#suspended.answered(source)

    return { socket, from: { kind: 'reused', rule, local: { host, port }, remote: destination } }
  }

  /** Only a dial from an ephemeral port has connected */
  #countEphemeral (source: Source, { host }: Endpoint): void {
    const { log, metrics } = this.#init

    metrics.reuse?.increment({ ephemeral_won: true })

    if (this.#suspended.unanswered(source, host)) {
      metrics.reuse?.increment({ endpoint_suspended: true })
      log('several peers in a row could be reached from an ephemeral port, but not from %s:%d: not dialing from it for ten minutes', source.host, source.port)
    }
  }
}

/**
 * A dial to a listening address of this node from the same port meets its own SYN. This is a
 * simultaneous open (RFC 9293, section 3.5), and the listener does not notice it. Only the
 * finished connection tells. It can't be told before: libuv does not list all addresses of a
 * host. Addresses of interfaces without carrier and of AnyIP routes are missing
 */
function isConnectedToItself ({ localAddress, localPort, remoteAddress, remotePort }: Socket): boolean {
  return localPort === remotePort && localAddress === remoteAddress
}

function isTaken ({ code = '' }: NodeJS.ErrnoException): boolean {
  return TAKEN.includes(code)
}

function isRefusal (failure: NodeJS.ErrnoException): boolean {
  return !isTaken(failure) && failure.code !== WAS_CONNECTED
}

function explain ({ host, port }: Source, timeout: number, failure?: Error | null): string {
  return failure == null ? `no answer to ${host}:${port} within ${timeout}ms` : `${host}:${port} was refused: ${failure.message}`
}

/** The source of a dial can't be used for this destination; another one may */
class SourceUnusableError extends Error {
  constructor (cause: Error) {
    super(cause.message, { cause })
  }
}
