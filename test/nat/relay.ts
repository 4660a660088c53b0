/**
 * Libp2p nodes with public addresses, to be run in one machine of the lab. The
 * first is a relay. All of them tell peers at which address they see them
 */

import { circuitRelayServer } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { reuseportTcp } from '../../src/index.ts'
import { serve } from './script.ts'

export type Relay = Awaited<ReturnType<typeof startRelay>>

/**
 * @param limits - of relayed connections
 * @param listen - the multiaddrs of each node, separated by commas
 */
// eslint-disable-next-line @typescript-eslint/explicit-function-return-type
async function startRelay (limits: string, ...listen: string[]) {
  const nodes = await Promise.all(listen.map(async mas => createLibp2p({
    addresses: { listen: mas.split(',') },
    transports: [reuseportTcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux({ enableKeepAlive: false })],
    connectionManager: { inboundConnectionThreshold: Infinity },
    connectionMonitor: { enabled: false },
    services: {
      identify: identify(),
      relay: circuitRelayServer({
        // each run comes with new peers
        reservations: { maxReservations: Infinity, applyDefaultLimit: limits === 'limited' }
      })
    }
  })))

  return {
    /**
     * The nodes' multiaddrs, the relay's first
     */
    async addresses (): Promise<string[]> {
      return nodes.flatMap((node, i) => listen[i].split(',').map(ma => `${ma}/p2p/${node.peerId}`))
    }
  }
}

await serve(startRelay)
