import { pEvent } from 'p-event'
import { Uint8ArrayList } from 'uint8arraylist'
import type { Connection, Libp2p, MessageStream, StreamMessageEvent } from '@libp2p/interface'

const PROTOCOL = '/libp2p-reuseport-tcp/echo'

export async function serveEcho (node: Libp2p<any>): Promise<void> {
  await node.handle(PROTOCOL, sendBack, { runOnLimitedConnection: true })
}

/** Sends back all that arrives, until the other end has closed */
export async function sendBack (stream: MessageStream): Promise<void> {
  for await (const data of stream) {
    if (!stream.send(data)) {
      await pEvent(stream, 'drain', { rejectionEvents: ['close'] })
    }
  }

  await stream.close()
}

/**
 * Sends bytes and waits for them to come back
 *
 * @throws {Error} if other ones do, or the stream closes before
 */
export async function exchange (stream: MessageStream, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
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
    throw err instanceof Error ? err : err.error ?? new Error('The stream was closed before the echo was complete')
  })

  if (Buffer.compare(echoed.subarray(), bytes) !== 0) {
    throw new Error('The echo is not what was sent')
  }
}

/** Does so on a stream of this very connection */
export async function echo (connection: Connection, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  await withStream(connection, signal, async stream => exchange(stream, bytes, signal))
}

/**
 * @returns the round-trip time, in ms
 */
export async function roundTrip (connection: Connection, signal: AbortSignal): Promise<number> {
  return withStream(connection, signal, async stream => {
    // the first one opens the stream
    await exchange(stream, Uint8Array.of(1), signal)
    const start = performance.now()
    await exchange(stream, Uint8Array.of(2), signal)

    return Math.round(performance.now() - start)
  })
}

async function withStream <T> (connection: Connection, signal: AbortSignal, use: (stream: MessageStream) => Promise<T>): Promise<T> {
  const stream = await connection.newStream(PROTOCOL, { runOnLimitedConnection: true, signal })

  try {
    const result = await use(stream)
    await stream.close({ signal })

    return result
  } catch (err: any) {
    stream.abort(err)
    throw err
  }
}
