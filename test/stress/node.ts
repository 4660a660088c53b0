/** The node that is attacked in the part `hostile`: `node.ts UPGRADE_LIMIT` */

import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { multiaddr } from '@multiformats/multiaddr'
import { startNode } from '../kit/node.ts'
import { serve } from '../kit/serve.ts'
import { leftOver, startWatching } from './resources.ts'
import type { Counts } from './resources.ts'

export type AttackedNode = typeof commands

const commands = {
  async listen (): Promise<string> {
    await node.start()
    startWatching()

    return node.getMultiaddrs()[0].toString()
  },

  /** @returns the name of the error, and how long it took */
  async dial (address: string, limit: number): Promise<{ error: string, took: number }> {
    const start = performance.now()
    const error = await node.dial(multiaddr(address), { signal: AbortSignal.timeout(limit) }).then(() => 'none', err => err instanceof Error ? err.name : `not an Error: ${err}`)

    return { error, took: performance.now() - start }
  },

  /** Dials a good peer, pings it and hangs up */
  async greet (address: string): Promise<void> {
    const { remotePeer } = await node.dial(multiaddr(address))
    await node.services.ping.ping(remotePeer)
    await node.hangUp(remotePeer)
  },
  leftOver: async (): Promise<Counts> => ({ ...await leftOver(), ...node.getConnections().length > 0 ? { connection: node.getConnections().length } : {} })
}

const node = await startNode({
  start: false,
  connectionManager: { inboundUpgradeTimeout: Number(process.argv[2]) },
  services: { identify: identify(), ping: ping() }
})

serve(commands)
