import { tryGetNetConfig } from '@libp2p/utils'
import type { Connection, PeerId, PeerStore, Topology } from '@libp2p/interface'

/** What is asked of libp2p about its AutoNAT services, which verify the observed addresses */
export interface AutonatComponents {
  registrar?: { getTopologies(protocol: string): Topology[] }
  connectionManager?: { getConnections(peer?: PeerId): Connection[] }
  peerStore?: Pick<PeerStore, 'get'>
}

const V1_PROTOCOL = '/libp2p/autonat/1.0.0'
const V2_PROTOCOL = '/libp2p/autonat/2/dial-request'

/**
 * How many connected servers AutoNAT is told of at most, each in another network. It needs
 * four that could dial an address, or eight that could not
 */
const MAX_ASKED = 16

/**
 * Does this node run AutoNAT v1? With an address to verify it costs connections: it asks
 * its peers to dial that address, and js-libp2p's servers (@libp2p/autonat 3.0) close the
 * connection that they dialed. Thanks to port reuse they have one from that very address
 * already, ours, and close that one
 */
export function runsAutonatV1 ({ registrar }: AutonatComponents): boolean {
  return registrar != null && registrar.getTopologies(V1_PROTOCOL).length > 0
}

/**
 * Has AutoNAT v2 ask the connected peers to verify the addresses that it does not know to
 * be verified. By itself (@libp2p/autonat-v2 2.0) it asks a peer only when that connects,
 * so those that were there before the address was known would never be asked.
 *
 * Peers that we dialed come first, so that strangers can't take their places
 */
export async function askConnectedPeers ({ registrar, connectionManager, peerStore }: AutonatComponents): Promise<void> {
  const topologies = registrar?.getTopologies(V2_PROTOCOL) ?? []

  if (topologies.length === 0) {
    return
  }

  const direct = connectionManager?.getConnections().filter(({ status, limits }) => status === 'open' && limits == null) ?? []
  const [dialed, inbound] = [direct.filter(isOutbound), direct.filter(connection => !isOutbound(connection))]
  const asked = new Set<string>()

  for (const connection of [...dialed, ...inbound]) {
    const network = networkOf(connection)

    if (asked.size < MAX_ASKED && network != null && !asked.has(network)) {
      // a peer that has gone meanwhile may be forgotten
      const peer = await peerStore?.get(connection.remotePeer).catch(() => undefined)

      if (peer?.protocols.includes(V2_PROTOCOL) === true) {
        asked.add(network)
        topologies.forEach(topology => { topology.onConnect?.(connection.remotePeer, connection) })
      }
    }
  }
}

function isOutbound ({ direction }: Connection): boolean {
  return direction === 'outbound'
}

/**
 * The network that a server is in, as AutoNAT v2 counts them (`getNetworkSegment` of its
 * client): it sends all that a second server of the same network asks for, and drops the
 * answer
 */
function networkOf ({ remoteAddr }: Connection): string | undefined {
  const { type, host } = tryGetNetConfig(remoteAddr) ?? {}

  if (type === 'ip4') {
    return host?.split('.')[0]
  }

  return type === 'ip6' ? host?.split(':')[0] : undefined
}
