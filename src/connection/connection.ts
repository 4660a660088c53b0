import { InvalidParametersError, TimeoutError } from '@libp2p/interface'
import { AbstractMultiaddrConnection } from '@libp2p/utils'
import { isUint8ArrayList } from 'uint8arraylist'
import { abortError, untilAborted } from '../abort.ts'
import { toMultiaddr } from '../address.ts'
import { BatchWriter } from './batch-writer.ts'
import type { Endpoint } from '../endpoint.ts'
import type { AbortError, AbortOptions, CounterGroup, Logger, MessageStreamDirection, MultiaddrConnection } from '@libp2p/interface'
import type { SendResult } from '@libp2p/utils'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Socket } from 'node:net'
import type { Uint8ArrayList } from 'uint8arraylist'

/** How long a socket may be silent before its connection is aborted, as in `@libp2p/tcp` */
const DEFAULT_INACTIVITY_MS = 120_000

/** How long to wait for the peer's FIN after ours was sent */
const PEER_FIN_MS = 1_000

/**
 * How long the peer may take nothing of what is left to send, if the inactivity timeout is
 * shorter. A peer that is only slow must not lose data
 */
const MIN_STALL_MS = 5_000

/** How often the connection looks whether the peer has taken something */
const STALL_CHECK_MS = 500

export interface ConnectionInit {
  socket: Socket
  direction: MessageStreamDirection
  log: Logger

  /** Taken from the socket if not given */
  remoteAddr?: Multiaddr

  /** Taken from the socket if not given */
  localAddr?: Multiaddr

  /** Told of the connection, and when it has closed */
  follower?: ConnectionFollower

  /**
   * How long nothing may be sent or received before the connection is aborted, in ms. 0 to
   * turn it off. It does not cut off what is left to send after `close()`, `closeWrite()`
   * or the peer's FIN
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

  /** Called once, before the close event. `byPeer`: the peer's FIN came before ours went */
  closed(connection: RawConnection, byPeer: boolean): void
}

/** A raw TCP or unix socket connection: not encrypted, not multiplexed */
export interface RawConnection extends MultiaddrConnection {
  /** The local end. Unix sockets that dial have none */
  readonly localAddr?: Multiaddr

  /**
   * Keep our half open when the peer has closed its half. Without, the peer's FIN closes
   * the connection, and what was sent before still reaches the peer
   */
  allowHalfOpen: boolean

  /**
   * Sends a FIN after what was sent so far, and goes on reading. The connection
   * closes when the peer sends its FIN. While data is left to send, the peer has as much time
   * as during `close()`. After that, the connection is aborted if the peer sends nothing for
   * the inactivity timeout. The kernel still sends it all data and the FIN, and no RST.
   *
   * @throws {AbortError} when the signal aborts before the kernel has all data and the FIN.
   * They are sent all the same
   * @throws {Error} if the connection is lost before, or was aborted or reset
   */
  closeWrite(options?: AbortOptions): Promise<void>
}

/**
 * Makes a connection of a connected socket
 *
 * @throws {InvalidParametersError} if the peer has gone already and its address
 * is not known any more
 */
export function toConnection (init: ConnectionInit): RawConnection {
  return new SocketConnection(init)
}

/**
 * What an event does, by what has happened before. `closed` and `aborted` are final.
 *
 * | event | open | our half is ending, or has (`closeWrite`) | closing (`close`) |
 * |---|---|---|---|
 * | `send()` | written or queued | StreamStateError | StreamStateError |
 * | `closeWrite()` | sends the rest and a FIN | waits for the same | waits for the same |
 * | `close()` | the same, then waits for the peer's FIN | waits for both | resolves at once |
 * | the peer's FIN | sends what is queued and a FIN: closed. With `allowHalfOpen` only reading ends | closed when our half has ended | closed |
 * | `abort()`, an error of the socket | RST: aborted | RST, or if the FIN is under way the socket is destroyed: aborted | as before |
 * | inactivity | RST: aborted | after the FIN without RST: aborted | has no effect |
 * | the peer takes nothing for too long | is inactivity | RST: aborted | RST: aborted |
 * | the signal of `close()` | | | RST: aborted. After the FIN the socket is destroyed: closed |
 */
class SocketConnection extends AbstractMultiaddrConnection implements RawConnection {
  allowHalfOpen: boolean
  readonly #socket: Socket
  readonly #writer: BatchWriter
  readonly #local: Partial<Endpoint>
  #follower?: ConnectionFollower
  #localAddr?: Multiaddr

  /** Did the peer's FIN come before ours went? */
  #closedByPeer = false

  /**
   * Settles when the kernel has all data and our FIN, or the connection is lost. Undefined
   * until our half is to be ended
   */
  #writingEnded?: Promise<void>

  constructor (init: ConnectionInit) {
    const { socket } = init
    const remoteAddr = init.remoteAddr ?? addressOf({ host: socket.remoteAddress, port: socket.remotePort })

    if (remoteAddr == null) {
      throw new InvalidParametersError('The peer has gone already, and its address with it')
    }

    super({ ...init, remoteAddr, inactivityTimeout: init.inactivityTimeout ?? DEFAULT_INACTIVITY_MS })

    // our FIN goes when all data is with the kernel, and not before: until then an abort
    // can send RST, which libuv refuses for a socket that is shutting down
    socket.allowHalfOpen = true
    this.allowHalfOpen = init.allowHalfOpen ?? false
    this.#socket = socket
    this.#writer = new BatchWriter(socket, () => { this.safeDispatchEvent('drain') })
    this.#localAddr = init.localAddr
    // now, as a socket that has closed no longer knows its local end
    this.#local = { host: socket.localAddress, port: socket.localPort }
    this.#follower = init.follower

    const onData = (data: Uint8Array): void => {
      if (this.status === 'closing' && this.readBufferLength + data.byteLength > this.maxReadBufferLength) {
        // nobody reads it any more, and it would only hold up the peer's FIN
        socket.off('data', onData)
      } else {
        this.onData(data)
      }
    }

    socket.setTimeout(this.inactivityTimeout)
    socket.on('data', onData)
    socket.on('error', err => { this.abort(err) })
    socket.on('timeout', () => { this.#onSilence() })
    socket.once('end', () => { this.#onFin() })
    socket.once('close', () => { this.onTransportClosed() })
    // the race of a dial may have paused it
    socket.resume()
    this.#follower?.opened(this)
  }

  /** Most connections are never asked for it, so the multiaddr is made when one is */
  get localAddr (): Multiaddr | undefined {
    this.#localAddr ??= addressOf(this.#local)

    return this.#localAddr
  }

  send (data: Uint8Array | Uint8ArrayList): boolean {
    if (this.writeStatus !== 'writable' || this.sendingData || this.writeBuffer.byteLength > 0 || !isBytes(data)) {
      return super.send(data)
    }

    // nothing is queued, so this need not go through the queue of the base class
    const { sentBytes, canSendMore } = this.#writer.write(data)
    this.writableNeedsDrain = !canSendMore

    if (sentBytes < data.byteLength) {
      this.writeBuffer.append(data instanceof Uint8Array ? data : data.sublist(sentBytes))

      // sends nothing before the drain, but checks the length of the queue
      return this.processSendQueue()
    }

    if (this.listenerCount('idle') > 0) {
      this.safeDispatchEvent('idle')
    }

    return canSendMore
  }

  sendData (data: Uint8ArrayList): SendResult {
    return this.#writer.write(data)
  }

  async closeWrite ({ signal }: AbortOptions = {}): Promise<void> {
    await untilAborted(this.#endWriting(), signal)
  }

  /**
   * Sends what is left and a FIN, then waits for the peer's FIN. What arrives until then is
   * delivered. If the peer has gone already that is no error, as with `@libp2p/tcp`: the close
   * event tells.
   *
   * It settles when the peer's FIN has come, or one second after the kernel got all data and
   * our FIN. The kernel goes on sending them. If the peer takes nothing of what is left for the
   * inactivity timeout, the connection is aborted: after 5 s if the timeout is shorter, after
   * 120 s if it is off. A peer that takes a little again and again is waited for until the
   * signal aborts.
   *
   * @throws {AbortError} when the signal aborts, whatever its reason, before the kernel has
   * all data and the FIN. The connection is aborted then, as the rest is lost
   */
  async close (options?: AbortOptions): Promise<void> {
    if (this.status === 'open') {
      this.status = 'closing'
    } else if (this.status !== 'closed' || this.#socket.destroyed) {
      return
    }

    // also where the peer's FIN has closed the connection, as there may be data left to send
    await this.sendClose(options)
  }

  /** @throws {AbortError} as `close` */
  async sendClose ({ signal }: AbortOptions = {}): Promise<void> {
    const socket = this.#socket
    let sent = false
    let aborted: AbortError | undefined

    const onAbort = (): void => {
      if (sent) {
        socket.destroy()
      } else {
        aborted = abortError(signal)
        this.abort(aborted)
      }
    }

    // the peer's FIN is behind data that nobody may read any more
    socket.resume()
    // the waits for the kernel and for the peer's FIN have limits of their own
    socket.setTimeout(0)

    if (signal?.aborted === true) {
      onAbort()
    }

    signal?.addEventListener('abort', onAbort)

    try {
      await this.#endWriting()
    } catch (err) {
      this.log('could not send all data - %e', err)
    }

    sent = true
    await this.#socketClosed()
    signal?.removeEventListener('abort', onAbort)

    if (aborted != null) {
      throw aborted
    }
  }

  abort (err: Error): void {
    this.#tellClosed(false)
    super.abort(err)

    // the base class leaves a connection alone that the peer's FIN has closed, but there
    // may be data left to send, and without it the peer must not see a clean end
    this.sendReset()
  }

  onTransportClosed (err?: Error): void {
    const socket = this.#socket

    if (socket.writableFinished) {
      // so that whoever hears of the close event can dial the same 4-tuple again
      socket.destroy()
    }

    this.#tellClosed(this.#closedByPeer)
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

  sendPause (): void {
    // when it closes, the peer's FIN is behind data that nobody reads
    if (this.status === 'open') {
      this.#socket.pause()
    }
  }

  sendResume (): void {
    this.#socket.resume()
  }

  /** Before the close event: whoever hears of that may dial again at once */
  #tellClosed (byPeer: boolean): void {
    const follower = this.#follower
    this.#follower = undefined
    follower?.closed(this, byPeer)
  }

  /**
   * Sends what is left and a FIN, once
   *
   * @throws {Error} if the connection is lost before the kernel has all of it
   */
  async #endWriting (): Promise<void> {
    if (this.#writingEnded == null) {
      this.#writingEnded = this.#sendRest()
      // when it is lost, nobody may be waiting for it
      this.#writingEnded.catch(() => {})
    }

    return this.#writingEnded
  }

  async #sendRest (): Promise<void> {
    if (this.writeStatus === 'writable') {
      this.writeStatus = 'closing'
    }

    // nobody sends more, so there is no back pressure to keep
    const rest = this.writeBuffer.sublist()
    const written = this.#writer.end(rest)

    if (rest.byteLength > 0) {
      this.writeBuffer.consume(rest.byteLength)
      this.safeDispatchEvent('idle')
    }

    this.#socket.setTimeout(0)
    const stallTimer = this.#abortWhenStalled()

    try {
      await written
    } finally {
      clearInterval(stallTimer)
    }

    this.writeStatus = 'closed'

    if (this.remoteWriteStatus === 'closed') {
      this.onTransportClosed()
    } else if (this.status === 'open') {
      this.#socket.setTimeout(this.inactivityTimeout)
    }
  }

  /**
   * Aborts the connection if the peer takes nothing for too long. Data from the peer does not
   * count: a peer that goes on sending could keep `close()` waiting for ever
   */
  #abortWhenStalled (): ReturnType<typeof setInterval> {
    const limit = Math.max(MIN_STALL_MS, this.inactivityTimeout === 0 ? DEFAULT_INACTIVITY_MS : this.inactivityTimeout)
    let progress = this.#writer.progress()
    let since = performance.now()

    return setInterval(() => {
      const now = this.#writer.progress()

      if (now !== progress) {
        progress = now
        since = performance.now()
      } else if (performance.now() - since >= limit) {
        this.abort(new TimeoutError(`The peer took nothing for ${limit}ms`))
      }
    }, STALL_CHECK_MS)
  }

  /** Nothing was sent or received for the inactivity timeout */
  #onSilence (): void {
    const socket = this.#socket

    if (socket.writableFinished) {
      // RST would discard what the peer has not read yet
      socket.destroy()
    }

    this.abort(new TimeoutError(`No data for ${this.inactivityTimeout}ms`))
  }

  /** The peer has sent its FIN: there is nothing more to read */
  #onFin (): void {
    const socket = this.#socket
    this.#closedByPeer = !socket.writableFinished

    if (this.status !== 'open') {
      return
    }

    if (this.allowHalfOpen || this.#writingEnded != null) {
      // if our half has ended as well, that closes the connection
      this.onRemoteCloseWrite()
      return
    }

    if (this.#writer.pending + this.writeBuffer.byteLength > 0) {
      void this.sendClose()
    } else {
      this.#writingEnded = Promise.resolve()
      socket.destroy()
    }

    this.onTransportClosed()
  }

  /**
   * Waits until the socket is closed, which it is with the peer's FIN, or after
   * {@link PEER_FIN_MS}
   */
  async #socketClosed (): Promise<void> {
    const socket = this.#socket

    if (socket.closed) {
      return
    }

    const timer = setTimeout(() => { socket.destroy() }, PEER_FIN_MS)
    await new Promise(resolve => socket.once('close', resolve))
    clearTimeout(timer)
  }
}

function isBytes (data: unknown): boolean {
  return data instanceof Uint8Array || isUint8ArrayList(data)
}

function addressOf ({ host, port }: Partial<Endpoint>): Multiaddr | undefined {
  return host == null || port == null ? undefined : toMultiaddr({ host, port })
}
