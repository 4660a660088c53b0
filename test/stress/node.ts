import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { serveEcho } from '../kit/echo.ts'
import { startNode } from '../kit/node.ts'
import type { Identify } from '@libp2p/identify'
import type { Libp2p } from '@libp2p/interface'
import type { Ping } from '@libp2p/ping'

/**
 * How long an inbound connection may take to become one of libp2p, in ms
 */
export const UPGRADE_LIMIT = 2_000

export async function startEchoNode (): Promise<Libp2p<{ identify: Identify, ping: Ping }>> {
  const node = await startNode({
    connectionManager: { inboundUpgradeTimeout: UPGRADE_LIMIT },
    services: { identify: identify(), ping: ping() }
  })
  await serveEcho(node)

  return node
}
