import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Server } from 'node:net'

/**
 * Accepts the connections that wait in the queue of a server that is about to close. Without
 * this, close(2) resets them, although their peers are connected already. Each turn of the event
 * loop accepts at least one connection, so the queue is empty after a turn that accepts none.
 *
 * A listening socket gets new connections until it is closed. So the last connections may still
 * be reset: those that arrive between that turn and close(2), or whose handshake ends later.
 *
 * @param server
 * @param length - the maximum length of the queue. The queue is first in, first out, so all
 * connections that wait now are accepted after this number of turns
 */
export async function acceptQueue (server: Server, length: number): Promise<void> {
  let isEmpty = false
  const onAccepted = (): void => { isEmpty = false }

  server.on('connection', onAccepted)
  server.on('drop', onAccepted)

  // the current turn may have accepted its connections already, so it does not count
  await nextTurn()

  // Linux lets in one connection more than the length
  for (let turn = 0; turn <= length && !isEmpty && server.listening; turn++) {
    isEmpty = true
    await nextTurn()
  }

  server.off('connection', onAccepted)
  server.off('drop', onAccepted)
}
