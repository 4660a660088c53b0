import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Server } from 'node:net'

/**
 * Accepts the connections that wait in the queue of a server that is about to close: close(2)
 * resets them, although their peers are connected already. Each turn of the event loop
 * accepts at least one, so the queue is empty after a turn without any.
 *
 * A socket that listens gets new connections until it is closed. So the last ones may still
 * be reset: those that arrive between that turn and close(2), or whose handshake ends later.
 *
 * @param server
 * @param length - the maximum length of the queue. It is first in, first out, so whatever
 * waits now is accepted after so many turns
 */
export async function acceptQueue (server: Server, length: number): Promise<void> {
  let isEmpty = false
  const onAccepted = (): void => { isEmpty = false }

  server.on('connection', onAccepted)
  server.on('drop', onAccepted)

  // the current turn may accept nothing any more
  await nextTurn()

  // Linux lets one more in than the length
  for (let turn = 0; turn <= length && !isEmpty && server.listening; turn++) {
    isEmpty = true
    await nextTurn()
  }

  server.off('connection', onAccepted)
  server.off('drop', onAccepted)
}
