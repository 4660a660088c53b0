import { tryGetNetConfig } from '@libp2p/utils'
import type { Connection, PeerId, PeerStore, Topology } from '@libp2p/interface'

/** The parts of libp2p that know about its AutoNAT services, which verify observed addresses */
export interface AutonatComponents {
  registrar?: { getTopologies(protocol: string): Topology[] }
  connectionManager?: { getConnections(peer?: PeerId): Connection[] }
  peerStore?: Pick<PeerStore, 'get'>
}

const V1_PROTOCOL = '/libp2p/autonat/1.0.0'
const V2_PROTOCOL = '/libp2p/autonat/2/dial-request'

/**
 * The largest number of connected servers that AutoNAT asks in a round, each in a different
 * network. AutoNAT needs four servers that could dial an address, or eight that could not
 */
const MAX_ASKED = 16

/**
 * Does this node run AutoNAT v1? It loses connections when it verifies an address. It asks its
 * peers to dial the address, and js-libp2p's servers (@libp2p/autonat 3.0) then close the
 * connection to this address. With port reuse the server already has a connection from this
 * address: the one that this node dialed. The server closes this one
 */
export function runsAutonatV1 ({ registrar }: AutonatComponents): boolean {
  return registrar != null && registrar.getTopologies(V1_PROTOCOL).length > 0
}

/**
 * Has AutoNAT v2 registered what {@link askConnectedPeers} uses? No type promises that. Its
 * option `protocolPrefix` changes the protocol
 */
export function canAskConnectedPeers ({ registrar }: AutonatComponents): boolean {
  return registrar?.getTopologies(V2_PROTOCOL).some(({ onConnect }) => onConnect != null) === true
}

/**
 * Makes AutoNAT v2 ask the connected peers to verify the addresses that are not verified yet.
 * By itself (@libp2p/autonat-v2 2.0) it only asks a peer when the peer connects. A peer that
 * connected before the address was known would never be asked.
 *
 * Dialed peers come first, so that strangers can't take their places
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
      // the peer store may have forgotten a peer that has disconnected
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
 * The network of a server, as AutoNAT v2 counts networks (`getNetworkSegment` of its client).
 * A second server of the same network is not worth asking: AutoNAT sends all the data that this
 * server asks for, and then drops its answer
 */
function networkOf ({ remoteAddr }: Connection): string | undefined {
  const { type, host } = tryGetNetConfig(remoteAddr) ?? {}

  if (type === 'ip4') {
    return host?.split('.')[0]
  }

  return type === 'ip6' ? host?.split(':')[0] : undefined
}
