/** The node that is attacked: `node.ts UPGRADE_LIMIT [TRANSPORT]` */

import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { reuseportTcp } from '../../src/index.ts'
import { startNode } from '../kit/node.ts'
import { serve } from '../kit/serve.ts'
import { until } from '../kit/wait.ts'
import { leftOver, newResources, startWatching, usedMemory } from './resources.ts'
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

  /** Waits until so many connections are upgraded or wait for it. Returns how many there are */
  async countInbound (expected: number): Promise<number> {
    const inbound = (): number => newResources()['socket descriptor'] ?? 0
    await until(() => inbound() === expected).catch(() => { /* the count is compared */ })

    return inbound()
  },
  usedMemory,
  leftOver: async (): Promise<Counts> => ({ ...await leftOver(), ...node.getConnections().length > 0 ? { connection: node.getConnections().length } : {} })
}

const node = await startNode({
  start: false,
  transports: [process.argv[3] === '@libp2p/tcp' ? tcp() : reuseportTcp()],
  connectionManager: { inboundUpgradeTimeout: Number(process.argv[2]) },
  services: { identify: identify(), ping: ping() }
})

serve(commands)
