import pDefer from 'p-defer'
import { abortError, allFailed, throwIfAborted } from './race.ts'
import type { Socket } from 'node:net'

export interface Rival {
  /**
   * How long the socket has the field to itself, in ms. `Infinity`: for ever
   */
  after: number

  /**
   * Makes a socket that connects, too
   */
  start(): Socket
}

/**
 * Waits until the socket is connected, or a rival that is started beside it if that takes
 * long. Those that are not the first are destroyed.
 *
 * A failure is the result at once if the other one is not under way.
 *
 * @throws {AbortError} when the signal aborts
 * @throws {Error} the system's error of a lone socket; an AggregateError with the `code`
 * of the first failure when both have failed
 */
export async function firstConnected (socket: Socket, signal: AbortSignal, rival?: Rival): Promise<Socket> {
  const winner = pDefer<Socket>()
  const sockets: Socket[] = []
  const errors: Error[] = []

  const enter = (socket: Socket): void => {
    sockets.push(socket)
    socket.on('connect', () => { winner.resolve(socket) })
    // stays on: until a connection takes the socket over, nobody else listens
    socket.on('error', err => {
      errors.push(err)

      if (errors.length === sockets.length) {
        winner.reject(allFailed(errors))
      }
    })
  }
  const onTimeout = (): void => {
    if (rival != null) {
      enter(rival.start())
    }
  }
  const onAbort = (): void => { winner.reject(abortError(signal)) }

  enter(socket)
  signal.addEventListener('abort', onAbort)

  if (rival != null && rival.after !== Infinity) {
    // 0 would mean never
    socket.setTimeout(Math.max(rival.after, 1)).once('timeout', onTimeout)
  }

  let connected: Socket | undefined

  try {
    throwIfAborted(signal)
    connected = await winner.promise

    return connected
  } finally {
    signal.removeEventListener('abort', onAbort)
    socket.off('timeout', onTimeout)

    for (const socket of sockets) {
      if (socket !== connected) {
        socket.destroy()
      }
    }
  }
}
