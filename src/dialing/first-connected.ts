import pDefer from 'p-defer'
import { abortError } from '../abort.ts'
import { allFailed } from './race.ts'
import type { Socket } from 'node:net'

/**
 * How much longer the socket has when its rival is connected: as long as the rival took,
 * within these bounds. The kernel sends a SYN that got no answer again after 1,000 ms
 * (RFC 6298, section 2), so the socket may have set out anew when the rival did
 */
const MIN_GRACE_MS = 100
const MAX_GRACE_MS = 1_000

export interface Rival {
  /** When the rival starts, in ms. `Infinity`: never */
  after: number

  /** Makes a socket that connects, too */
  start(): Socket
}

/**
 * Waits until the socket is connected, or a rival that is started beside it if that takes
 * long. If the rival is first, the socket is still preferred when it connects a moment
 * later. The one that is not the result is destroyed.
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
  let connectedRival: Socket | undefined
  let grace: ReturnType<typeof setTimeout> | undefined

  const enter = (socket: Socket, onConnect: () => void): void => {
    sockets.push(socket)
    socket.on('connect', onConnect)
    // not removed: an error of the socket before a connection takes it over would end the process
    socket.on('error', err => {
      errors.push(err)

      if (errors.length === sockets.length) {
        winner.reject(allFailed(errors))
      } else if (connectedRival != null) {
        winner.resolve(connectedRival)
      }
    })
  }
  const enterRival = (rival: Socket): void => {
    const started = Date.now()

    // nobody takes what it receives before it has won
    rival.pause()
    enter(rival, () => {
      const took = Date.now() - started
      const socketHasFailed = errors.length > 0
      connectedRival = rival
      grace = setTimeout(winner.resolve, socketHasFailed ? 0 : Math.min(Math.max(took, MIN_GRACE_MS), MAX_GRACE_MS), rival)
    })
  }
  const onTimeout = (): void => {
    if (rival != null) {
      enterRival(rival.start())
    }
  }
  const onAbort = (): void => { winner.reject(abortError(signal)) }

  enter(socket, () => { winner.resolve(socket) })

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

    connected = await winner.promise

    return connected
  } finally {
    clearTimeout(grace)
    socket.off('timeout', onTimeout)

    for (const socket of sockets) {
      if (socket !== connected) {
        socket.destroy()
      }
    }

    signal.removeEventListener('abort', onAbort)
  }
}
