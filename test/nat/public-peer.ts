/**
 * A libp2p node with a public address, to be run in a machine of the lab. It tells
 * peers at which address it sees them, and tries for them whether they can be dialed.
 *
 * - `public-peer.ts LISTEN`
 */

import { autoNAT } from '@libp2p/autonat'
import { autoNATv2 } from '@libp2p/autonat-v2'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { startNode } from '../kit/node.ts'
import { serve } from '../kit/serve.ts'

/** How long a dial may take, in ms */
const TIMEOUT = 3_000

const [address] = process.argv.slice(2)

const node = await startNode({
  // what is announced needs no verification by those that connect
  addresses: { listen: [address], announce: [address] },
  transports: [tcp()],
  services: { identify: identify(), autonat: autoNAT(), autonatV2: autoNATv2() }
})

const publicPeer = {
  address: (): string => `${address}/p2p/${node.peerId}`,

  canDial: async (address: string): Promise<boolean> => {
    return node.dial(multiaddr(address), { signal: AbortSignal.timeout(TIMEOUT) }).then(async connection => {
      await connection.close()

      return true
    }, () => false)
  }
}

export type PublicPeer = typeof publicPeer

serve(publicPeer)
