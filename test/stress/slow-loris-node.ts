/**
 * The node of the part `slow-loris`, with one transport or the other
 */

import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { reuseportTcp } from '../../src/index.ts'
import { startNode } from '../kit/node.ts'
import { leftOver, openFilesLimit, startWatching, usedMemory } from './resources.ts'
import { serve } from './troubles.ts'

export type SlowLorisNode = typeof commands

export const TRANSPORTS = { here: reuseportTcp, '@libp2p/tcp': tcp }

/**
 * How long an upgrade may take, in ms: longer than it takes to count and to measure
 */
const UPGRADE_LIMIT = 15_000

/**
 * What libp2p sets if nothing else is asked for: inbound connections of one host in a second,
 * inbound connections that are upgraded at the same time, connections
 */
const LIMITS_OF_LIBP2P = { inboundConnectionThreshold: 5, maxIncomingPendingConnections: 10, maxConnections: 300 }

const commands = {
  openFilesLimit,

  /**
   * @returns the address to dial
   */
  async listen (transport: keyof typeof TRANSPORTS, hasLimits: boolean): Promise<string> {
    const node = await startNode({
      transports: [TRANSPORTS[transport]()],
      connectionManager: { inboundUpgradeTimeout: UPGRADE_LIMIT, ...(hasLimits ? LIMITS_OF_LIBP2P : {}) },
      services: { ping: ping() }
    })
    startWatching()

    return node.getMultiaddrs()[0].toString()
  },

  /**
   * In bytes
   */
  memory: async (): Promise<{ used: number, rss: number }> => ({ used: await usedMemory(), rss: process.memoryUsage.rss() }),
  leftOver
}

serve(commands)
