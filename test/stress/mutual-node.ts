/**
 * One of the two nodes of the part `mutual`
 */

import { multiaddr } from '@multiformats/multiaddr'
import { portOf } from '../kit/addresses.ts'
import { echo } from '../kit/echo.ts'
import { ruleOrWhy } from '../kit/transport.ts'
import { startEchoNode } from './node.ts'
import { bytes } from './random.ts'
import { leftOver, startWatching } from './resources.ts'
import { serve } from './troubles.ts'
import type { ReuseportTcpDialEvents } from '../../src/index.ts'
import type { OpenConnectionProgressEvents } from '@libp2p/interface'

export type MutualNode = typeof commands

/**
 * How long a dial, the echoes on a connection or a hang-up may take, in ms
 */
const LIMIT = 5_000

const node = await startEchoNode()
const inboundPorts: number[] = []

node.addEventListener('connection:open', ({ detail: { direction, remoteAddr } }) => {
  if (direction === 'inbound') {
    inboundPorts.push(portOf(remoteAddr))
  }
})

const commands = {
  address (): string {
    startWatching()

    return node.getMultiaddrs()[0].toString()
  },

  /**
   * Dials when the clock says `start`
   *
   * @returns why it failed, if it did, and where each attempt came from
   */
  async dial (peer: string, start: number): Promise<{ error?: string, sources: string[] }> {
    const sources: string[] = []
    const options = {
      // a real dial, even if the peer's own is already a connection
      force: true,
      signal: AbortSignal.timeout(LIMIT),
      onProgress: (event: OpenConnectionProgressEvents | ReuseportTcpDialEvents) => {
        if (event.type === 'tcp:source-port') {
          sources.push(ruleOrWhy(event.detail))
        }
      }
    }

    await spinUntil(start)

    try {
      await node.dial(multiaddr(peer), options)

      return { sources }
    } catch (err: any) {
      return { sources, error: err.stack }
    }
  },

  /**
   * Echoes on all connections
   */
  async talk (seed: number): Promise<{ echoes: number, errors: string[] }> {
    const payload = bytes(seed, 1_000)
    const results = await Promise.allSettled(node.getConnections().map(async connection => echo(connection, payload, AbortSignal.timeout(LIMIT))))

    return {
      echoes: results.filter(({ status }) => status === 'fulfilled').length,
      errors: results.flatMap(result => result.status === 'rejected' ? [`${result.reason?.stack ?? result.reason}`] : [])
    }
  },
  async hangUp (peer: string): Promise<void> {
    await node.hangUp(multiaddr(peer), { signal: AbortSignal.timeout(LIMIT) })
  },

  /**
   * Waits until no connection is left
   */
  leftOver: async () => ({ connection: node.getConnections().length, ...await leftOver() }),

  /**
   * The ports that inbound connections came from
   */
  inboundPorts: () => inboundPorts
}

serve(commands)

/**
 * A timer would be late by a random fraction of a millisecond
 */
async function spinUntil (start: number): Promise<void> {
  const now = (): number => performance.timeOrigin + performance.now()

  await new Promise(resolve => setTimeout(resolve, Math.max(0, start - now() - 5)))

  while (now() < start) {
    // the two nodes are to dial within microseconds
  }
}
