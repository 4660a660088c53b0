import pDefer from 'p-defer'
import { untilAborted } from './race.ts'
import type { Socket } from 'node:net'

/**
 * The length of `/multistream/1.0.0` with its length and line feed, which is all
 * that some responders say without being asked (go-multistream)
 */
const MULTISTREAM_HEADER = 20

/**
 * Waits until the peer has proposed something, as an initiator does at once, but no
 * longer than `timeout` ms
 *
 * @returns whether it has
 * @throws {AbortError}
 */
export async function peerProposes (socket: Socket, timeout: number, signal: AbortSignal): Promise<boolean> {
  const waited = pDefer<void>()
  const hasProposed = (): boolean => socket.bytesRead > MULTISTREAM_HEADER
  const stopWaiting = (): void => { waited.resolve() }
  const onData = (): void => {
    if (hasProposed()) {
      stopWaiting()
    }
  }
  const timer = setTimeout(stopWaiting, timeout)
  socket.on('data', onData)
  socket.once('close', stopWaiting)

  try {
    await untilAborted(waited.promise, signal)

    return hasProposed()
  } finally {
    clearTimeout(timer)
    socket.off('data', onData)
    socket.off('close', stopWaiting)
  }
}
