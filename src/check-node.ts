/**
 * Mistakes in the set-up of a node that nothing else reports: the node runs, but ports are not
 * reused, or no hole can be punched
 */

import { serviceCapabilities } from '@libp2p/interface'
import { tryGetNetConfig } from '@libp2p/utils'
import { isSupported } from './address.ts'
import { isLoopback } from './endpoint.ts'
import { canAskConnectedPeers } from './observed/autonat.ts'
import type { AutonatComponents } from './observed/autonat.ts'
import type { Logger } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

/** The parts of libp2p that are looked at after the start */
export interface NodeParts extends AutonatComponents {
  /**
   * All parts of the node, in the order in which libp2p made them. libp2p itself looks here for
   * services that others need. Without it, nothing is checked
   */
  components?: Record<string, any>
  addressManager?: { getListenAddrs?(): Multiaddr[] }
}

/** Writes one log line about each mistake. All services must have started */
export function checkNode (node: NodeParts, log: Logger): void {
  if (node.components == null) {
    return
  }

  const parts = Object.values(node.components)
  const tags = parts.map(part => part?.[Symbol.toStringTag])

  if (tags.includes('@libp2p/tcp')) {
    const dials = tags.indexOf('@libp2p/tcp') < tags.indexOf('libp2p-reuseport-tcp') ? 'It comes first, so it makes all dials, from ephemeral ports' : 'Both transports listen on the same addresses'
    log.error('tcp() of @libp2p/tcp is among the transports as well. %s. Remove tcp()', dials)
  }

  if (tags.includes('@libp2p/dcutr')) {
    log.error('dcutr() of @libp2p/dcutr does not dial from the listening port, so it punches no holes. Import dcutr from libp2p-reuseport-tcp/dcutr')
  }

  if (tags.includes('@libp2p/autonat')) {
    log.error('autoNAT() of @libp2p/autonat would lose connections when it verifies an observed address, so it gets none, and none is announced. Use autoNATv2() of @libp2p/autonat-v2')
  }

  if (tags.includes('@libp2p/autonat-v2') && !canAskConnectedPeers(node)) {
    log.error('autoNATv2() can not be asked to verify an address with the peers that are connected already: it has another protocolPrefix, or @libp2p/autonat-v2 has changed. It asks only peers that connect later')
  }

  if (!parts.some(part => part?.[serviceCapabilities]?.includes('@libp2p/identify') === true)) {
    log('there is no identify() of @libp2p/identify among the services, so no peer can tell at which address it sees this node')
  }

  if (tags.includes('libp2p-reuseport-tcp/dcutr')) {
    const listening = node.addressManager?.getListenAddrs?.().filter(isSupported) ?? []

    if (listening.every(isLocal)) {
      log.error('dcutr() punches no holes, as this node listens on no TCP address that other hosts can reach, only on [%s]. Listen on /ip4/0.0.0.0/tcp/4001, for example', listening.join(', '))
    }
  }
}

/** Can only this host reach the address? */
function isLocal (ma: Multiaddr): boolean {
  const { type, host = '' } = tryGetNetConfig(ma) ?? {}

  return type == null || isLoopback(host)
}
