import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { byteStream } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { reuseportTcp } from '../../src/index.ts'
import type { Identify } from '@libp2p/identify'
import type { Connection, Libp2p } from '@libp2p/interface'
import type { Ping } from '@libp2p/ping'

export type Node = Libp2p<{ identify: Identify, ping: Ping }>

/**
 * How long an inbound connection may take to become one of libp2p, in ms
 */
export const UPGRADE_LIMIT = 2_000

const ECHO = '/stress/echo/1.0.0'

/**
 * A whole node that listens on loopback, without the limits that are meant to
 * keep such crowds out. It echoes
 */
export async function startNode (): Promise<Node> {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [reuseportTcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: {
      inboundConnectionThreshold: Infinity,
      maxIncomingPendingConnections: Infinity,
      inboundUpgradeTimeout: UPGRADE_LIMIT
    },
    services: { identify: identify(), ping: ping() }
  })

  await node.handle(ECHO, async stream => {
    for await (const data of stream) {
      stream.send(data)
    }

    await stream.close()
  })

  return node
}

/**
 * @throws {Error} if the peer does not echo byte for byte
 */
export async function echo (connection: Connection, payload: Uint8Array, signal: AbortSignal): Promise<void> {
  const stream = await connection.newStream(ECHO, { signal })
  const bytes = byteStream(stream)

  try {
    await bytes.write(payload, { signal })
    const received = await bytes.read({ bytes: payload.byteLength, signal })

    if (Buffer.compare(received.subarray(), payload) !== 0) {
      throw new Error('The echo is wrong')
    }

    await stream.close({ signal })
  } catch (err: any) {
    stream.abort(err)
    throw err
  }
}
