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

/** How long a socket may be silent before its connection is aborted, in ms, as in `@libp2p/tcp` */
const DEFAULT_INACTIVITY_MS = 120_000

/** How long to wait for the peer's FIN after this end's FIN was sent, in ms */
const PEER_FIN_MS = 1_000

/**
 * How long the peer may at least take none of the data that is left to send, in ms, even if the
 * inactivity timeout is shorter. A peer that is only slow must not lose data
 */
const MIN_STALL_MS = 5_000

/** How long the peer may take to acknowledge this end's FIN, in ms. It takes a round trip */
const LAST_ACK_MS = 1_000

/** How often the connection checks whether the peer has taken data, in ms */
const STALL_CHECK_MS = 500

export interface ConnectionInit {
  socket: Socket
  direction: MessageStreamDirection
  log: Logger

  /** Taken from the socket if not given */
  remoteAddr?: Multiaddr

  /** Taken from the socket if not given */
  localAddr?: Multiaddr

  /** Is called when the connection has opened and when it has closed */
  follower?: ConnectionFollower

  /**
   * How long nothing may be sent or received before the connection is aborted, in ms. 0 turns
   * it off. The timeout does not cut off data that is left to send after `close()`,
   * `closeWrite()` or the peer's FIN
   *
   * @default 120_000
   */
  inactivityTimeout?: number

  /**
   * Keep this end's half open when the peer has closed its half
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
   * Called once, before the close event. `heldFor`: how long the kernel may still hold the
   * 4-tuple, in ms. It does so until the peer has acknowledged this end's FIN (LAST_ACK and
   * CLOSING, RFC 9293). 0 if this end was the first to close: for that the kernel holds the
   * 4-tuple not at all or, without TCP timestamps, for a minute (TIME_WAIT)
   */
  closed(connection: RawConnection, heldFor: number): void
}

/** A raw TCP or unix socket connection: not encrypted, not multiplexed */
export interface RawConnection extends MultiaddrConnection {
  /**
   * The local end. A dialed unix socket has none. A closed connection only knows it if somebody
   * has asked for it before
   */
  readonly localAddr?: Multiaddr

  /**
   * Keep this end's half open when the peer has closed its half. If false, the peer's FIN closes
   * the connection. Data that was sent before still reaches the peer
   */
  allowHalfOpen: boolean

  /**
   * Send a FIN before the RST of `abort()`. If RSTs of both ends cross, a NAT of Linux drops the
   * SYNs between these ports for ten seconds. After a FIN it does not (docs/decisions.md). The
   * peer may take the FIN for a clean end, so this is for connections that carry no user's data
   * yet
   */
  finBeforeReset: boolean

  /**
   * Sends a FIN after all data, and goes on reading. The connection closes when the peer sends
   * its FIN. While data is left to send, the peer has as much time as during `close()`. After
   * that, the connection is aborted if the peer sends nothing for the inactivity timeout. The
   * kernel then still sends all data and the FIN, and no RST.
   *
   * @throws {AbortError} when the signal aborts before the kernel has all data and the FIN. The
   * data and the FIN are sent nevertheless
   * @throws {Error} if the connection is lost before, or was aborted or reset
   */
  closeWrite(options?: AbortOptions): Promise<void>
}

/**
 * Makes a connection from a connected socket
 *
 * @throws {InvalidParametersError} if the socket is closed and its remote address is unknown
 */
export function toConnection (init: ConnectionInit): RawConnection {
  return new SocketConnection(init)
}

/**
 * The states of a connection, and what each event does in them. "closed" and "aborted" are
 * final states.
 *
 * | event | open | this end's half is ending or has ended (`closeWrite`) | closing (`close`) |
 * |---|---|---|---|
 * | `send()` | the data is written or queued | StreamStateError | StreamStateError |
 * | `closeWrite()` | sends the queue and a FIN | waits until the queue and the FIN are sent | waits until the queue and the FIN are sent |
 * | `close()` | sends the queue and a FIN, then waits for the peer's FIN | waits until the queue and the FIN are sent, then for the peer's FIN | resolves at once |
 * | the peer's FIN | sends the queue and a FIN: closed. With `allowHalfOpen` only reading ends | closed when this end's half has ended | closed |
 * | `abort()`, an error of the socket | RST: aborted | RST, or, if the FIN is being sent, the socket is destroyed: aborted | RST, or, if the FIN is being sent, the socket is destroyed: aborted |
 * | inactivity | RST: aborted | only after the FIN, and without RST: aborted | no effect |
 * | the peer takes nothing for too long | the same as inactivity | RST: aborted | RST: aborted |
 * | the signal of `close()` | | | RST: aborted. After the FIN the socket is destroyed: closed |
 *
 * With `finBeforeReset`, FIN and RST are sent for RST.
 */
class SocketConnection extends AbstractMultiaddrConnection implements RawConnection {
  allowHalfOpen: boolean
  finBeforeReset = false
  readonly #socket: Socket
  readonly #writer: BatchWriter
  #follower?: ConnectionFollower
  #localAddr?: Multiaddr

  /** When this end's FIN was sent, by `performance.now()` */
  #finSent?: number

  /** For the follower: how long the kernel may still hold the 4-tuple, in ms */
  #heldFor = 0

  /**
   * Settles when the kernel has all data and this end's FIN, or when the connection is lost.
   * Undefined until this end's half begins to end
   */
  #writingEnded?: Promise<void>

  constructor (init: ConnectionInit) {
    const { socket } = init
    const remoteAddr = init.remoteAddr ?? addressOf({ host: socket.remoteAddress, port: socket.remotePort })

    if (remoteAddr == null) {
      throw new InvalidParametersError('The socket is closed and its remote address is unknown')
    }

    super({ ...init, remoteAddr, inactivityTimeout: init.inactivityTimeout ?? DEFAULT_INACTIVITY_MS })

    // so that this end's FIN is sent only when the kernel has all data. Until then an abort can
    // send RST. libuv refuses RST for a socket that is shutting down
    socket.allowHalfOpen = true
    this.allowHalfOpen = init.allowHalfOpen ?? false
    this.#socket = socket
    this.#writer = new BatchWriter(socket, () => { this.safeDispatchEvent('drain') })
    this.#localAddr = init.localAddr
    this.#follower = init.follower

    const onData = (data: Uint8Array): void => {
      if (this.status === 'closing' && this.readBufferLength + data.byteLength > this.maxReadBufferLength) {
        // nobody reads this data any more, and keeping it would delay the peer's FIN
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
    // the race of a dial may have paused the socket
    socket.resume()
    this.#follower?.opened(this)
  }

  /** The system is asked at the first call, because most connections never need it */
  get localAddr (): Multiaddr | undefined {
    this.#localAddr ??= addressOf({ host: this.#socket.localAddress, port: this.#socket.localPort })

    return this.#localAddr
  }

  send (data: Uint8Array | Uint8ArrayList): boolean {
    if (this.writeStatus !== 'writable' || this.sendingData || this.writeBuffer.byteLength > 0 || !isBytes(data)) {
      return super.send(data)
    }

    // nothing is queued, so the data can skip the queue of the base class
    const { sentBytes, canSendMore } = this.#writer.write(data)
    this.writableNeedsDrain = !canSendMore

    if (sentBytes < data.byteLength) {
      this.writeBuffer.append(data instanceof Uint8Array ? data : data.sublist(sentBytes))

      // this sends nothing before the drain, but it checks the length of the queue
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
   * Sends the data that is left and a FIN, then waits for the peer's FIN. Data that arrives
   * until then is delivered. If the connection is lost meanwhile, `close()` does not reject, as
   * with `@libp2p/tcp`. The close event has the error.
   *
   * It settles when the peer's FIN has come, or one second after the kernel got all data and
   * this end's FIN. The kernel goes on sending them. If the peer takes none of the data that is
   * left for the inactivity timeout, the connection is aborted. This limit is at least 5 s, and
   * 120 s if the timeout is off. If the peer keeps taking a little, `close()` waits until the
   * signal aborts.
   *
   * @throws {AbortError} when the signal aborts before the kernel has all data and the FIN. The
   * connection is then aborted, because the rest of the data is lost
   */
  async close (options?: AbortOptions): Promise<void> {
    if (this.status === 'open') {
      this.status = 'closing'
    } else if (this.status !== 'closed' || this.#socket.destroyed) {
      return
    }

    // also if the peer's FIN has closed the connection: there may be data left to send
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

    // the peer's FIN comes after its data, and a paused socket would never reach the FIN
    socket.resume()
    // the waits for the kernel and for the peer's FIN have their own limits
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
    this.#tellClosed(0)
    super.abort(err)

    // the base class does nothing if the peer's FIN has closed the connection. But there may be
    // data left to send. If it is not sent, the peer must not see a clean end
    this.sendReset()
  }

  onTransportClosed (err?: Error): void {
    const socket = this.#socket

    if (socket.writableFinished) {
      // so that a listener of the close event can dial the same 4-tuple again
      socket.destroy()
    }

    this.#tellClosed(this.#heldFor)
    super.onTransportClosed(err)
  }

  sendReset (): void {
    const socket = this.#socket

    if (socket.destroyed) {
      return
    }

    // a FIN would have to wait for data that is left to send
    const sendsFin = this.finBeforeReset && socket.writableLength === 0

    if (sendsFin) {
      socket.end()
    }

    // a unix socket has no RST, and libuv can't reset a socket while the FIN is being sent
    if (this.remoteAddr.getComponents()[0]?.name === 'unix') {
      socket.destroy()
    } else if (!socket.writableEnded || socket.writableFinished) {
      socket.resetAndDestroy()
    } else if (sendsFin) {
      socket.once('finish', () => { socket.resetAndDestroy() })
    } else {
      socket.destroy()
    }
  }

  sendPause (): void {
    // a closing connection has to read on: the peer's FIN comes after its data
    if (this.status === 'open') {
      this.#socket.pause()
    }
  }

  sendResume (): void {
    this.#socket.resume()
  }

  /** Must be called before the close event: a listener of this event may dial again at once */
  #tellClosed (heldFor: number): void {
    const follower = this.#follower
    this.#follower = undefined
    follower?.closed(this, heldFor)
  }

  /**
   * Sends the data that is left and a FIN. Later calls wait for the first one
   *
   * @throws {Error} if the connection is lost before the kernel has all data
   */
  async #endWriting (): Promise<void> {
    if (this.#writingEnded == null) {
      this.#writingEnded = this.#sendRest()
      // nobody may be waiting when the connection is lost
      this.#writingEnded.catch(() => {})
    }

    return this.#writingEnded
  }

  async #sendRest (): Promise<void> {
    if (this.writeStatus === 'writable') {
      this.writeStatus = 'closing'
    }

    // no more data can be sent, so the rest is written without back pressure
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
    this.#finSent = performance.now()

    if (this.remoteWriteStatus === 'closed') {
      this.onTransportClosed()
    } else if (this.status === 'open') {
      this.#socket.setTimeout(this.inactivityTimeout)
    }
  }

  /**
   * Aborts the connection if the peer takes nothing for too long. Data from the peer does not
   * count. Else a peer that goes on sending could make `close()` wait for ever
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
        this.abort(new TimeoutError(`The peer accepted no data for ${limit}ms`))
      }
    }, STALL_CHECK_MS)
  }

  /** Nothing was sent or received for the inactivity timeout */
  #onSilence (): void {
    const socket = this.#socket

    if (socket.writableFinished) {
      // RST would discard data that the peer has not read yet
      socket.destroy()
    }

    this.abort(new TimeoutError(`No data for ${this.inactivityTimeout}ms`))
  }

  /** The peer has sent its FIN */
  #onFin (): void {
    const socket = this.#socket

    // if the peer's FIN was sent before this end's FIN arrived, the ACK is still on its way. It
    // takes about as long as the peer's FIN took
    this.#heldFor = this.#finSent == null ? LAST_ACK_MS : Math.min(LAST_ACK_MS, performance.now() - this.#finSent)

    if (this.status !== 'open') {
      return
    }

    if (this.allowHalfOpen || this.#writingEnded != null) {
      // this closes the connection if this end's half has ended as well
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
   * Waits until the socket is closed. The peer's FIN closes it. If there is none, it is closed
   * after {@link PEER_FIN_MS}
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
