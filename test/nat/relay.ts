/**
 * Libp2p nodes with public addresses, to be run in one machine of the lab. The
 * first is a relay. All of them tell peers at which address they see them.
 *
 * - `relay.ts KIND LISTEN...`: relayed connections are `limited`, or `unlimited`, or limited
 * and in a network that is `private`. The multiaddrs of a node are separated by commas
 */

import { circuitRelayServer } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { yamux } from '@libp2p/yamux'
import { startNode } from '../kit/node.ts'
import { inPrivateNetwork } from '../kit/private-network.ts'
import { serve } from '../kit/serve.ts'

const [kind, ...listen] = process.argv.slice(2)

const nodes = await Promise.all(listen.map(async mas => startNode({
  ...(kind === 'private' ? inPrivateNetwork(1) : {}),
  // rust-libp2p needs a relay that announces an address, and nobody verifies these
  addresses: { listen: mas.split(','), announce: mas.split(',') },
  streamMuxers: [yamux({ enableKeepAlive: false })],
  services: {
    identify: identify(),
    // each run comes with new peers
    relay: circuitRelayServer({ reservations: { maxReservations: Infinity, applyDefaultLimit: kind !== 'unlimited' } })
  }
})))

const relay = {
  /** The nodes' multiaddrs, the relay's first */
  addresses: (): string[] => nodes.flatMap((node, i) => listen[i].split(',').map(ma => `${ma}/p2p/${node.peerId}`))
}

export type Relay = typeof relay

serve(relay)
