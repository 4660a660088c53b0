import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { DialError } from '@libp2p/interface'
import { throwIfAborted, untilAborted } from '../abort.ts'
import { resolveName, toDestination } from '../address.ts'
import { familyOf, isLoopback } from '../endpoint.ts'
import { bindSocket, reuseUnavailable } from '../port-reuse/bound-socket.ts'
import { chooseSources } from '../port-reuse/choose-source.ts'
import { isOwnAddress, routeSource } from '../port-reuse/route.ts'
import { firstConnected } from './first-connected.ts'
import { CONNECTION_ATTEMPT_DELAY, race } from './race.ts'
import type { Target } from '../address.ts'
import type { Endpoint } from '../endpoint.ts'
import type { DialerMetrics } from '../metrics.ts'
import type { EphemeralReason } from '../options.ts'
import type { RecentlyClosed } from './recently-closed.ts'
import type { Suspicion } from './suspended-endpoints.ts'
import type { ReuseReason, Source } from '../port-reuse/choose-source.ts'
import type { PortPool } from '../port-reuse/port-pool.ts'
import type { Logger } from '@libp2p/interface'
import type { Socket, SocketConstructorOpts } from 'node:net'

interface Because {
  readonly reason: EphemeralReason
  readonly message: string
}

export type DialedSocket = { socket: Socket } & (FromListener | FromEphemeral | FromUnix)

interface FromListener {
  reason: ReuseReason

  /**
   * The listening endpoint, and the destination
   */
  ends: { local: Endpoint, remote: Endpoint }
  because?: undefined
}

interface FromEphemeral {
  reason: 'ephemeral'
  because: Because
  ends?: undefined
}

interface FromUnix {
  reason: 'unix'
  ends?: undefined
  because?: undefined
}

export interface DialerOptions {
  pool: PortPool
  suspicion: Suspicion
  closed: RecentlyClosed

  /**
   * Dial from a listening port? `require`: or not at all
   */
  reusePort: boolean | 'require'

  /**
   * No dial may come from a listening port, whatever `reusePort` says
   */
  turnedOff: boolean

  /**
   * How long a dial from a listening port may be without an answer before one
   * from an ephemeral port starts beside it, in ms. `Infinity`: never
   */
  reusePortTimeout: number
  socketOptions: SocketConstructorOpts
  log: Logger
  metrics: Pick<DialerMetrics, 'reuse'>
}

/**
 * Opens a connection to `target`, from a port of the pool if one can be used.
 *
 * @throws {AbortError} when the signal aborts
 * @throws {DialError} if a listening port is required and there is none
 * @throws {Error} the system's error, when the network answered with one
 */
export async function dial (target: Target, options: DialerOptions, signal: AbortSignal): Promise<DialedSocket> {
  throwIfAborted(signal)

  if (target.type === 'unix') {
    const socket = new net.Socket(options.socketOptions).connect({ path: target.path })

    return { socket: await firstConnected(socket, signal), reason: 'unix' }
  }

  if (target.type === 'ip') {
    return dialEndpoint(target.endpoint, options, signal)
  }

  const endpoints = await resolveName(target.name, target.port, target.family, signal)

  return race(endpoints.map(toDestination).map(destination => async (signal: AbortSignal) => dialEndpoint(destination, options, signal)), {
    delay: CONNECTION_ATTEMPT_DELAY,
    signal,
    discard
  })
}

async function dialEndpoint (destination: Endpoint, options: DialerOptions, signal: AbortSignal): Promise<DialedSocket> {
  const { sources, because } = await findSources(destination, options, signal)
  const { log, reusePort } = options
  let unusable = because
  let lastError: Error | undefined

  for (const source of sources) {
    log('dialing %s:%d from %s:%d, our %s listener', destination.host, destination.port, source.host, source.port, source.reason)

    try {
      return await dialFrom(source, destination, options, signal)
    } catch (err: any) {
      if (!(err instanceof SourceUnusableError)) {
        throw err
      }

      log('can not dial %s:%d from %s:%d - %s', destination.host, destination.port, source.host, source.port, err.message)
      unusable = { reason: 'unusable', message: err.message }
      lastError = err.reason
    }
  }

  if (reusePort === 'require') {
    throw lastError ?? new DialError(`Can not dial ${destination.host}:${destination.port} from a listening port: ${unusable.message}`)
  }

  log('dialing %s:%d from an ephemeral port: %s', destination.host, destination.port, unusable.message)

  return dialEphemeral(destination, unusable, options, signal)
}

async function dialEphemeral (destination: Endpoint, because: Because, { socketOptions }: DialerOptions, signal: AbortSignal): Promise<DialedSocket> {
  const socket = new net.Socket(socketOptions).connect(destination)

  return { socket: await firstConnected(socket, signal), reason: 'ephemeral', because }
}

function discard ({ socket }: DialedSocket): void {
  socket.destroy()
}

interface FoundSources {
  sources: Source[]

  /**
   * Why an ephemeral port is used if none of them can be
   */
  because: Because
}

/**
 * What to dial from. Waits for listeners that are still starting only if those that
 * listen already are of no use for this destination
 */
async function findSources (destination: Endpoint, { pool, reusePort, suspicion, turnedOff }: DialerOptions, signal: AbortSignal): Promise<FoundSources> {
  if (turnedOff || reusePort === false) {
    return { sources: [], because: { reason: 'turned_off', message: 'port reuse is turned off' } }
  }

  const unavailable = reuseUnavailable()

  if (unavailable != null) {
    return { sources: [], because: { reason: 'unavailable', message: unavailable } }
  }

  while (true) {
    const starting = pool.nextStart()
    const found = await lookForSources(destination, pool, signal)
    const usable = reusePort === 'require' ? found : found.filter(source => !suspicion.isSuspended(source))

    if (usable.length === 0 && starting != null) {
      await untilAborted(starting, signal)
      continue
    }

    return {
      sources: usable,
      because: found.length === 0
        ? { reason: 'no_listener', message: `no listener on IPv${familyOf(destination.host)} can be dialed from` }
        : { reason: 'suspended', message: 'peers do not answer the listening port' }
    }
  }
}

async function lookForSources (destination: Endpoint, pool: PortPool, signal: AbortSignal): Promise<Source[]> {
  const route = pool.needsRoute(familyOf(destination.host)) && !isLoopback(destination.host)
    ? await untilAborted(routeSource(destination), signal)
    : undefined

  return chooseSources(pool.endpoints, destination, { routeSource: route, isOwnAddress })
}

/**
 * The source of a dial can't be used for this destination; another one may
 */
class SourceUnusableError extends Error {
  readonly reason: Error

  constructor (reason: Error) {
    super(reason.message)
    this.name = 'SourceUnusableError'
    this.reason = reason
  }
}

/**
 * What connect(2) answers when the 4-tuple is taken. Linux says EADDRNOTAVAIL,
 * BSD-derived kernels EADDRINUSE
 */
const TAKEN = ['EADDRINUSE', 'EADDRNOTAVAIL']

/**
 * How long to wait before the next look if the kernel has let go of a 4-tuple, in ms
 */
const RETRY_DELAY = 10

/**
 * @throws {SourceUnusableError} if it can't be bound to, or if there is such a
 * connection already
 */
async function dialFrom (source: Source, destination: Endpoint, options: DialerOptions, signal: AbortSignal): Promise<DialedSocket> {
  while (true) {
    try {
      return await tryDialFrom(source, destination, options, signal)
    } catch (err) {
      if (!(err instanceof SourceUnusableError) || !options.closed.has(source.port, destination)) {
        throw err
      }

      await delay(RETRY_DELAY)
    }
  }
}

/**
 * Some networks drop what comes from a listening port (go-tcp-transport issue
 * 18). If there is no answer for a while, an ephemeral port is tried beside it,
 * and the first to connect wins
 */
async function tryDialFrom (source: Source, destination: Endpoint, options: DialerOptions, signal: AbortSignal): Promise<DialedSocket> {
  throwIfAborted(signal)

  const { log, metrics, reusePort, reusePortTimeout, socketOptions, suspicion } = options
  const { host, port, reason } = source
  let socket: Socket

  try {
    socket = bindSocket({ host, port }, { reusePort: true }).connect(destination, socketOptions)
  } catch (err: any) {
    throw new SourceUnusableError(err)
  }

  let connected: Socket

  try {
    connected = await firstConnected(socket, signal, {
      after: reusePort === 'require' ? Infinity : reusePortTimeout,
      start: () => {
        log('%s:%d did not answer %s:%d within %dms, dialing from an ephemeral port as well', destination.host, destination.port, host, port, reusePortTimeout)

        return new net.Socket(socketOptions).connect(destination)
      }
    })
  } catch (err: any) {
    throw TAKEN.includes(err.code) ? new SourceUnusableError(err) : err
  }

  if (connected === socket) {
    suspicion.answered(source)

    return { socket, reason, ends: { local: { host, port }, remote: destination } }
  }

  metrics.reuse?.increment({ ephemeral_won: true })

  if (suspicion.unanswered(source, destination.host)) {
    metrics.reuse?.increment({ endpoint_suspended: true })
    log('several peers in a row answered an ephemeral port, but not %s:%d: not dialing from it for ten minutes', host, port)
  }

  return { socket: connected, reason: 'ephemeral', because: { reason: 'faster', message: `no answer to ${host}:${port} within ${reusePortTimeout}ms` } }
}
