/**
 * A node of the part `hostile`: the one that is attacked, or the good peer
 */

import { multiaddr } from '@multiformats/multiaddr'
import { startEchoNode } from './node.ts'
import { leftOver, startWatching } from './resources.ts'
import { serve } from './troubles.ts'

export type HostileNode = typeof commands

const node = await startEchoNode()

const commands = {
  address (): string {
    startWatching()

    return node.getMultiaddrs()[0].toString()
  },

  /**
   * @returns the name of the error, if there was one, and how long it took
   */
  async dial (address: string, limit: number): Promise<{ error?: string, took: number }> {
    const start = performance.now()

    try {
      await node.dial(multiaddr(address), { signal: AbortSignal.timeout(limit) })

      return { took: performance.now() - start }
    } catch (err: any) {
      return { error: err instanceof Error ? err.name : `not an Error: ${err}`, took: performance.now() - start }
    }
  },

  /**
   * Dials a good peer, pings it and hangs up
   *
   * @throws {Error} if any of that fails
   */
  async greet (address: string, limit: number): Promise<void> {
    const signal = AbortSignal.timeout(limit)
    const { remotePeer } = await node.dial(multiaddr(address), { signal })

    await node.services.ping.ping(remotePeer, { signal })
    await node.hangUp(remotePeer, { signal })
  },
  leftOver: async () => ({ connection: node.getConnections().length, ...await leftOver() })
}

serve(commands)
