import pDefer from 'p-defer'
import { untilAborted } from './race.ts'
import type { Socket } from 'node:net'

/**
 * The length of `/multistream/1.0.0` with its length and line feed, which is all
 * that some responders say without being asked (go-multistream)
 */
const MULTISTREAM_HEADER = 20

/**
 * How long a listener waits for what an initiator proposes, in ms. An initiator does
 * so at once, with nothing to wait for. It must be less than {@link dialedSilence}, so
 * that two ends that both wait do not both begin
 */
export const ACCEPTED_SILENCE = 100

/**
 * How long a responder that dialed waits for what an initiator proposes, in ms, after
 * it took `connecting` ms to connect, which is a round trip or more. That is half a
 * round trip behind the handshake
 */
export function dialedSilence (connecting: number): number {
  return Math.min(Math.max(3 * connecting, 300), 1_500)
}

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
