/**
 * A whole node that dials
 */

import { setTimeout as delay } from 'node:timers/promises'
import { multiaddr } from '@multiformats/multiaddr'
import { pEvent } from 'p-event'
import { serve } from '../../test/stress/participant.ts'
import { portOf, startNode } from '../contestants.ts'
import type { TransportName } from '../row.ts'
import type { IdentifyResult, Libp2p } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { ProgressEvent } from 'progress-events'

export type Connector = typeof commands

let node: Libp2p

/**
 * The ports that the transport said it dialed from
 */
const claimed: number[] = []
let connections = 0

const commands = {
  async start (name: TransportName): Promise<void> {
    node = await startNode(name)
  },

  /**
   * Dials all nodes again and again for so many ms, one connection at a time to
   * each. A dial is done when the peer is identified
   *
   * @returns dials a second
   */
  async run (addresses: string[], ms: number): Promise<number> {
    const start = performance.now()
    const before = connections
    await Promise.all(addresses.map(async address => dialFor(ms, multiaddr(address))))

    return (connections - before) / (performance.now() - start) * 1000
  },

  claimed: () => ({ ports: claimed, connections })
}

serve(commands)

async function dialFor (ms: number, address: Multiaddr): Promise<void> {
  const end = performance.now() + ms
  const peer = address.getComponents().find(({ name }) => name === 'p2p')?.value

  while (performance.now() < end) {
    const identified = pEvent<'peer:identify', CustomEvent<IdentifyResult>>(node, 'peer:identify', {
      filter: ({ detail }) => detail.peerId.toString() === peer
    })

    const connection = await node.dial(address, {
      onProgress: (event: ProgressEvent<string, any>) => {
        if (event.type === 'tcp:source-port') {
          claimed.push(portOf(event.detail.localAddr))
        }
      }
    })

    await identified
    connections++
    await connection.close()

    // libp2p would give us the same connection again
    while (node.getConnections(connection.remotePeer).length > 0) {
      await delay(0)
    }
  }
}
