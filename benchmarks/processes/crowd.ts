/**
 * Whole nodes that wait to be dialed
 */

import { serve } from '../../test/stress/participant.ts'
import { portOf, startNode } from '../contestants.ts'
import type { TransportName } from '../row.ts'
import type { Libp2p } from '@libp2p/interface'

export type Crowd = typeof commands

/**
 * The ports that connections came from, as the nodes see it
 */
const seen: number[] = []
const nodes: Libp2p[] = []

const commands = {
  async start (name: TransportName, count: number): Promise<string[]> {
    for (let i = 0; i < count; i++) {
      const node = await startNode(name)
      node.addEventListener('connection:open', ({ detail }) => { seen.push(portOf(detail.remoteAddr)) })
      nodes.push(node)
    }

    return nodes.map(node => `${node.getMultiaddrs()[0]}`)
  },

  seen: () => seen
}

serve(commands)
