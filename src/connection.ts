import { InvalidParametersError, TimeoutError } from '@libp2p/interface'
import { AbstractMultiaddrConnection, StreamClosedError } from '@libp2p/utils'
import pDefer from 'p-defer'
import { pEvent } from 'p-event'
import { BatchWriter } from './batch-writer.ts'
import { guardListener } from './guarded.ts'
import { isWildcard } from './port-pool.ts'
import { untilAborted } from './race.ts'
import { toMultiaddr } from './to-multiaddr.ts'
import type { ListenerErrorTarget } from './guarded.ts'
import type { Endpoint } from './port-pool.ts'
import type { AbortOptions, CounterGroup, Logger, MessageStreamDirection, MultiaddrConnection } from '@libp2p/interface'
import type { SendResult } from '@libp2p/utils'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Socket } from 'node:net'
import type { Uint8ArrayList } from 'uint8arraylist'

/**
 * How long a socket may stay silent before its connection is aborted, in ms, as
 * in `@libp2p/tcp`
 */
const DEFAULT_INACTIVITY_TIMEOUT = 120_000

/**
 * How long to wait for the peer's FIN after ours was sent, in ms
 */
const FIN_TIMEOUT = 1_000

export interface ConnectionInit {
  socket: Socket
  direction: MessageStreamDirection
  log: Logger

  /**
   * Taken from the socket if not given
   */
  remoteAddr?: Multiaddr

  /**
   * Taken from `local`, or from the socket, if not given
   */
  localAddr?: Multiaddr

  /**
   * Where the socket is bound. If that is not the wildcard, the socket is not asked for
   * its local end, which spares a system call
   */
  local?: Endpoint

  /**
   * Told of the connection, and when it has closed
   */
  follower?: ConnectionFollower

  /**
   * In ms, 0 to turn it off
   *
   * @default 120_000
   */
  inactivityTimeout?: number

  /**
   * Keep our half open when the peer has closed its half
   *
   * @default false
   */
  allowHalfOpen?: boolean
  metrics?: CounterGroup
  metricPrefix?: string
}

export interface ConnectionFollower {
  opened(connection: RawConnection): void

  /**
   * Called once, before the close event
   */
  closed(connection: RawConnection): void
}

/**
 * A raw TCP or unix socket connection: not encrypted, not multiplexed
 */
export interface RawConnection extends MultiaddrConnection {
  /**
   * The local end. Unix sockets that dial have none
   */
  readonly localAddr?: Multiaddr

  /**
   * Sends a FIN after what was sent so far, and goes on reading. The connection
   * closes when the peer sends its FIN.
   *
   * @throws {AbortError} when the signal aborts before all data is with the kernel. It is
   * sent all the same, and the FIN after it
   * @throws {Error} if the connection is lost before
   */
  closeWrite(options?: AbortOptions): Promise<void>
}

/**
 * Makes a connection of a socket, which must be connected and have
 * `allowHalfOpen: true`: the connection decides itself when to send its FIN, so
 * that an abort can send RST at any time (libuv does not let a socket be reset
 * while it is shutting down).
 *
 * @throws {InvalidParametersError} if the peer has gone already and its address
 * is not known any more
 */
export function toConnection (init: ConnectionInit): RawConnection {
  return new SocketConnection(init)
}

class SocketConnection extends AbstractMultiaddrConnection implements RawConnection, ListenerErrorTarget {
  readonly #socket: Socket
  readonly #writer: BatchWriter
  readonly #allowHalfOpen: boolean
  readonly #local: Partial<Endpoint>
  #follower?: ConnectionFollower
  #localAddr?: Multiaddr
  #writeClosed?: Promise<void>

  constructor (init: ConnectionInit) {
    const { socket } = init
    const remoteAddr = init.remoteAddr ?? addressOf({ host: socket.remoteAddress, port: socket.remotePort })

    if (remoteAddr == null) {
      throw new InvalidParametersError('The peer has gone already, and its address with it')
    }

    super({ ...init, remoteAddr, inactivityTimeout: init.inactivityTimeout ?? DEFAULT_INACTIVITY_TIMEOUT })

    this.#socket = socket
    this.#writer = new BatchWriter(socket, () => { this.safeDispatchEvent('drain') })
    this.#allowHalfOpen = init.allowHalfOpen ?? false
    this.#localAddr = init.localAddr
    this.#local = init.local == null || isWildcard(init.local.host)
      // a socket that is closed does not tell any more
      ? { host: socket.localAddress, port: socket.localPort }
      : init.local
    this.#follower = init.follower

    socket.setTimeout(this.inactivityTimeout)
    socket.on('data', buf => {
      // once we close, what arrives is only in the way of the peer's FIN
      if (this.status !== 'closing') {
        this.onData(buf)
      }
    })
    socket.on('error', err => { this.abort(err) })
    socket.on('timeout', () => { this.abort(new TimeoutError(`No data for ${this.inactivityTimeout}ms`)) })
    socket.once('end', () => { this.#onFin() })
    socket.once('close', () => { this.onTransportClosed() })
    this.#follower?.opened(this)
  }

  /**
   * Few ask for it, so the multiaddr is made when the first one does
   */
  get localAddr (): Multiaddr | undefined {
    this.#localAddr ??= addressOf(this.#local)

    return this.#localAddr
  }

  send (data: Uint8Array | Uint8ArrayList): boolean {
    if (this.writeStatus !== 'writable' || this.writableNeedsDrain || this.sendingData || this.writeBuffer.byteLength > 0) {
      return super.send(data)
    }

    // nothing is queued, so the queue can be left out
    this.writableNeedsDrain = !this.#writer.write(data)

    if (this.listenerCount('idle') > 0) {
      this.safeDispatchEvent('idle')
    }

    return !this.writableNeedsDrain
  }

  sendData (data: Uint8ArrayList): SendResult {
    return { sentBytes: data.byteLength, canSendMore: this.#writer.write(data) }
  }

  async closeWrite (options?: AbortOptions): Promise<void> {
    if (this.writeStatus === 'writable') {
      this.writeStatus = 'closing'
      this.#writeClosed = this.#endWriting()
      // an abort may leave nobody to wait for it
      this.#writeClosed.catch(() => {})
    }

    await untilAborted(Promise.resolve(this.#writeClosed), options?.signal)
  }

  /**
   * Sends what is left and a FIN, then waits for the peer's FIN. A peer that
   * does not close its end within a second, or within the signal, is not waited
   * for: all is sent by then. One that has gone already is no error, as with
   * `@libp2p/tcp`: the close event tells.
   *
   * @throws {AbortError} when the signal aborts before all data is with the
   * kernel. The connection is aborted then, as the rest is lost
   */
  async close (options?: AbortOptions): Promise<void> {
    try {
      await super.close(options)
    } catch (err: any) {
      this.abort(toError(err))
      throw toError(err)
    }
  }

  async sendClose (options?: AbortOptions): Promise<void> {
    this.#socket.resume()

    await this.#flush(options).catch(err => {
      // if the peer has gone meanwhile, the close event says why
      if (!this.#socket.destroyed) {
        throw err
      }
    })
    await this.#finish(options)
  }

  abort (err: Error): void {
    this.#tellClosed()
    super.abort(err)

    // the connection may be closed already and its socket still busy sending
    this.#socket.destroy()
  }

  onTransportClosed (err?: Error): void {
    this.#tellClosed()
    super.onTransportClosed(err)
  }

  sendReset (): void {
    const socket = this.#socket

    if (socket.destroyed) {
      return
    }

    // a unix socket has no RST. Between FIN and its completion libuv can't reset
    if (this.remoteAddr.getComponents()[0]?.name === 'unix' || (socket.writableEnded && !socket.writableFinished)) {
      socket.destroy()
    } else {
      socket.resetAndDestroy()
    }
  }

  addEventListener (type: any, listener: any, options?: any): void {
    // the listeners that the base class adds for itself come before there is a socket
    super.addEventListener(type, #socket in this ? guardListener(listener) : listener, options)
  }

  removeEventListener (type: any, listener: any, options?: any): void {
    super.removeEventListener(type, guardListener(listener), options)
  }

  onListenerError ({ type }: Event, err: Error): void {
    this.log.error('a listener for %s failed - %e', type, err)

    if (type === 'message') {
      // that part of the data is lost to it
      this.abort(err)
    }
  }

  sendPause (): void {
    this.#socket.pause()
  }

  sendResume (): void {
    this.#socket.resume()
  }

  /**
   * Whoever hears of the close event may dial again at once
   */
  #tellClosed (): void {
    const follower = this.#follower
    this.#follower = undefined
    follower?.closed(this)
  }

  /**
   * Sends what is left and a FIN
   *
   * @throws {Error} if the connection is lost before
   */
  async #endWriting (): Promise<void> {
    if (this.writeBuffer.byteLength > 0) {
      await pEvent(this, 'idle', { rejectionEvents: ['close'] }).catch(reason => { throw toError(reason) })
    }

    await this.#flush()

    if (this.status === 'aborted' || this.status === 'reset') {
      throw new StreamClosedError('The connection was lost before all data was sent')
    }

    this.writeStatus = 'closed'
    this.#socket.end()

    if (this.remoteWriteStatus === 'closed') {
      this.onTransportClosed()
      await this.#finish()
    }
  }

  /**
   * The peer has sent its FIN: there is nothing more to read
   */
  #onFin (): void {
    if (this.#allowHalfOpen && this.writeStatus !== 'closed') {
      this.onRemoteCloseWrite()
      return
    }

    if (this.#writer.pending === 0) {
      // at once, so that the same 4-tuple can be dialed again by whoever hears
      // that this one has closed
      this.#socket.destroy()
    }

    if (this.status === 'open') {
      this.onTransportClosed()

      this.#flush()
        .then(async () => this.#finish())
        .catch(err => { this.log('could not send all data after the peer closed its end - %e', err) })
    }
  }

  /**
   * Waits until the kernel has all data. The inactivity timeout ends it
   *
   * @throws {AbortError} when the signal aborts
   */
  async #flush ({ signal }: AbortOptions = {}): Promise<void> {
    const socket = this.#socket

    if (socket.destroyed || socket.writableEnded) {
      return
    }

    if (this.inactivityTimeout === 0) {
      socket.setTimeout(DEFAULT_INACTIVITY_TIMEOUT)
    }

    await untilAborted(this.#writer.flush(), signal)
  }

  /**
   * Sends a FIN and waits for the peer's, for a bounded time. Then the socket is
   * gone
   */
  async #finish ({ signal }: AbortOptions = {}): Promise<void> {
    const socket = this.#socket

    if (socket.destroyed) {
      return
    }

    const closed = pDefer<void>()
    const stopWaiting = (): void => { closed.resolve() }
    const timer = setTimeout(stopWaiting, FIN_TIMEOUT)
    socket.once('close', stopWaiting)
    signal?.addEventListener('abort', stopWaiting)

    socket.end()
    await closed.promise

    clearTimeout(timer)
    socket.off('close', stopWaiting)
    signal?.removeEventListener('abort', stopWaiting)
    socket.destroy()
  }
}

function addressOf ({ host, port }: Partial<Endpoint>): Multiaddr | undefined {
  return host == null || port == null ? undefined : toMultiaddr({ host, port })
}

/**
 * `pEvent` rejects with the event that says why the connection was closed
 */
export function toError (reason: Error | { error?: Error }): Error {
  return reason instanceof Error ? reason : reason.error ?? new StreamClosedError()
}
