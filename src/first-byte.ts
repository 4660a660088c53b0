import pDefer from 'p-defer'
import { untilAborted } from './race.ts'
import type { Socket } from 'node:net'

/**
 * Waits until the peer has sent something, but no longer than `timeout` ms
 *
 * @returns whether it has
 * @throws {AbortError}
 */
export async function peerSpeaks (socket: Socket, timeout: number, signal: AbortSignal): Promise<boolean> {
  const waited = pDefer<void>()
  const stopWaiting = (): void => { waited.resolve() }
  const timer = setTimeout(stopWaiting, timeout)
  socket.once('data', stopWaiting)
  socket.once('close', stopWaiting)

  try {
    await untilAborted(waited.promise, signal)

    return socket.bytesRead > 0
  } finally {
    clearTimeout(timer)
    socket.off('data', stopWaiting)
    socket.off('close', stopWaiting)
  }
}
