/**
 * A libp2p node with a public address, to be run in a machine of the lab. It tells
 * peers at which address it sees them, and tries for them whether they can be dialed
 */

import { autoNAT } from '@libp2p/autonat'
import { autoNATv2 } from '@libp2p/autonat-v2'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { serve } from './script.ts'

/**
 * How long a dial may take, in ms
 */
const TIMEOUT = 3_000

export type PublicPeer = Awaited<ReturnType<typeof startPublicPeer>>

/**
 * @param address - the multiaddr to listen on
 */
// eslint-disable-next-line @typescript-eslint/explicit-function-return-type
async function startPublicPeer (address: string) {
  const node = await createLibp2p({
    // what is announced needs no verification by those that connect
    addresses: { listen: [address], announce: [address] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: { inboundConnectionThreshold: Infinity },
    connectionMonitor: { enabled: false },
    services: { identify: identify(), autonat: autoNAT(), autonatV2: autoNATv2() }
  })

  return {
    async address (): Promise<string> {
      return `${address}/p2p/${node.peerId}`
    },

    async canDial (address: string): Promise<boolean> {
      return node.dial(multiaddr(address), { signal: AbortSignal.timeout(TIMEOUT) }).then(async connection => {
        await connection.close()

        return true
      }, () => false)
    }
  }
}

await serve(startPublicPeer)
