/**
 * Accepts what a plain client in a thread of its own connects
 */

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import pDefer from 'p-defer'
import { serve } from '../../test/stress/participant.ts'
import { createTransport, listen, portOf } from '../contestants.ts'
import { expectEqual } from '../expect.ts'
import type { TransportName } from '../row.ts'
import type { MultiaddrConnection } from '@libp2p/interface'

export type Acceptor = typeof commands

/**
 * In ms
 */
const CONNECT_LIMIT = 5_000

const commands = {
  /**
   * Lets so many clients wait in the kernel's queue, and then accepts all of
   * them, so that only the listener's work is measured
   *
   * @returns the time per connection of each batch, in µs
   */
  async run (name: TransportName, batches: number, count: number): Promise<number[]> {
    const flag: Int32Array<SharedArrayBuffer> = new Int32Array(new SharedArrayBuffer(4))
    const client = new Worker(new URL('./plain-client.ts', import.meta.url), { workerData: flag })
    const times: number[] = []
    let connections: MultiaddrConnection[] = []
    let accepted = pDefer()

    const port = await listen(createTransport(name), connection => {
      if (connections.push(connection) === count) {
        accepted.resolve()
      }
    })

    for (let i = 0; i < batches; i++) {
      connections = []
      accepted = pDefer()
      Atomics.store(flag, 0, 0)
      client.postMessage({ port, count })
      const connected = once(client, 'message')

      if (Atomics.wait(flag, 0, 0, CONNECT_LIMIT) === 'timed-out') {
        throw new Error(`${count} clients could not connect`)
      }

      const start = performance.now()
      await accepted.promise
      times.push((performance.now() - start) / count * 1000)

      check(connections, (await connected)[0])
      const closed = connections.map(async connection => connection.status === 'closed' || once(connection, 'close'))
      client.postMessage('close')
      await Promise.all([once(client, 'message'), ...closed])
    }

    await client.terminate()

    return times
  }
}

serve(commands)

/**
 * @throws {Error} if others were accepted than those that connected
 */
function check (connections: MultiaddrConnection[], ports: number[]): void {
  const seen = connections.map(({ remoteAddr }) => portOf(remoteAddr))

  expectEqual('accepted connections', seen.length, ports.length)
  expectEqual('accepted connections of unknown clients', seen.filter(port => !ports.includes(port)).length, 0)
}
