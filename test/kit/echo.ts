import { pEvent } from 'p-event'
import { Uint8ArrayList } from 'uint8arraylist'
import type { Connection, Libp2p, StreamMessageEvent } from '@libp2p/interface'

const PROTOCOL = '/libp2p-reuseport-tcp/echo'

export async function serveEcho (node: Libp2p<any>): Promise<void> {
  await node.handle(PROTOCOL, async stream => {
    for await (const data of stream) {
      if (!stream.send(data)) {
        await pEvent(stream, 'drain', { rejectionEvents: ['close'] })
      }
    }

    await stream.close()
  }, { runOnLimitedConnection: true })
}

/**
 * Sends bytes over this very connection and waits for them to come back
 *
 * @throws {Error} if other ones do
 */
export async function echo (connection: Connection, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  await withEcho(connection, signal, async exchange => exchange(bytes))
}

/**
 * @returns the round-trip time, in ms
 */
export async function roundTrip (connection: Connection, signal: AbortSignal): Promise<number> {
  return withEcho(connection, signal, async exchange => {
    // the first one opens the stream
    await exchange(Uint8Array.of(1))
    const start = performance.now()
    await exchange(Uint8Array.of(2))

    return Math.round(performance.now() - start)
  })
}

async function withEcho <T> (connection: Connection, signal: AbortSignal, use: (exchange: (bytes: Uint8Array) => Promise<void>) => Promise<T>): Promise<T> {
  const stream = await connection.newStream(PROTOCOL, { runOnLimitedConnection: true, signal })

  try {
    const result = await use(async bytes => {
      const echoed = new Uint8ArrayList()
      const complete = pEvent<'message', StreamMessageEvent>(stream, 'message', {
        filter: ({ data }) => {
          echoed.append(data)

          return echoed.byteLength >= bytes.byteLength
        },
        rejectionEvents: ['close'],
        signal
      })
      stream.send(bytes)
      await complete.catch(err => {
        throw err instanceof Error ? err : new Error('The stream was closed before the echo was complete')
      })

      if (Buffer.compare(echoed.subarray(), bytes) !== 0) {
        throw new Error('The echo is not what was sent')
      }
    })
    await stream.close({ signal })

    return result
  } catch (err: any) {
    stream.abort(err)
    throw err
  }
}
