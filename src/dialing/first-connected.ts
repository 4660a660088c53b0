import pDefer from 'p-defer'
import { abortError } from '../abort.ts'
import type { Socket } from 'node:net'

/**
 * How much longer the socket may take when its rival has connected or failed, in ms: as long as
 * the rival took, within these limits. The kernel sends an unanswered SYN again after 1,000 ms
 * (RFC 6298, section 2). So the socket's SYN may have been sent again when the rival started
 */
const MIN_GRACE_MS = 100
const MAX_GRACE_MS = 1_000

export interface Rival {
  /**
   * How long the socket may be without an answer before the rival starts, in ms. `Infinity`:
   * for ever
   */
  after: number

  /** If the socket fails with this error before, does the rival start at once? */
  checks(failure: Error): boolean

  /**
   * Makes a second socket that connects to the same destination
   *
   * @param failure - the error of the socket, if it has failed
   */
  start(failure?: Error): Socket
}

/**
 * Waits until the socket or its rival is connected. The rival starts in parallel if the socket
 * gets no answer, or after the socket has failed. If the rival connects or fails first, the
 * socket is still preferred when it connects a moment later. The socket that is not the result
 * is destroyed.
 *
 * @throws {AbortError} when the signal aborts
 * @throws {Error} the socket's error, or the rival's error if the socket got no answer
 */
export async function firstConnected (socket: Socket, signal: AbortSignal, rival?: Rival): Promise<Socket> {
  const result = pDefer<Socket>()
  const sockets = [socket]
  let isOver = false
  let failure: Error | undefined
  let endWithRival: (() => void) | undefined
  let grace: ReturnType<typeof setTimeout> | undefined

  const succeed = (winner: Socket): void => {
    isOver = true
    result.resolve(winner)
  }
  const fail = (err: Error): void => {
    isOver = true
    result.reject(err)
  }

  const startRival = ({ start }: Rival): void => {
    const started = Date.now()
    const opponent = start(failure)
    const endSoon = (end: () => void): void => {
      clearTimeout(grace)
      endWithRival = end

      if (failure != null) {
        end()
      } else if (!isOver) {
        grace = setTimeout(end, Math.min(Math.max(Date.now() - started, MIN_GRACE_MS), MAX_GRACE_MS))
      }
    }

    sockets.push(opponent)
    // before the rival has won, nobody reads its data
    opponent.pause()
    opponent.on('connect', () => { endSoon(() => { succeed(opponent) }) })
    opponent.on('error', err => { endSoon(() => { fail(failure ?? err) }) })
  }
  const onTimeout = (): void => {
    if (rival != null) {
      startRival(rival)
    }
  }
  const onAbort = (): void => { fail(abortError(signal)) }

  socket.on('connect', () => { succeed(socket) })
  // never removed: an error before a connection handles the socket would end the process
  socket.on('error', err => {
    failure = err

    if (endWithRival != null) {
      endWithRival()
    } else if (!isOver && sockets.length === 1) {
      if (rival?.checks(err) === true) {
        startRival(rival)
      } else {
        fail(err)
      }
    }
  })

  if (rival != null && rival.after !== Infinity) {
    // setTimeout(0) would mean never
    socket.setTimeout(Math.max(rival.after, 1)).once('timeout', onTimeout)
  }

  let connected: Socket | undefined

  try {
    signal.addEventListener('abort', onAbort)

    if (signal.aborted) {
      onAbort()
    }

    connected = await result.promise

    return connected
  } finally {
    clearTimeout(grace)
    socket.off('timeout', onTimeout)

    for (const each of sockets) {
      if (each !== connected) {
        each.destroy()
      }
    }

    signal.removeEventListener('abort', onAbort)
  }
}
