import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { getNetConfig } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import type { Identify } from '@libp2p/identify'
import type { Libp2p } from '@libp2p/interface'
import type { Ping } from '@libp2p/ping'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Libp2pOptions } from 'libp2p'

export type Node = Libp2p<{ identify: Identify, ping: Ping }>

type TransportFactory = NonNullable<Libp2pOptions['transports']>[number]

/**
 * How long to wait for a peer, in ms
 */
export const TIMEOUT = 10_000

const EVERYWHERE = ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/0']

/**
 * A libp2p node that listens on ports which the kernel chooses. Without IPv6 on
 * this machine it listens on IPv4 only
 */
export async function startNode (transport: TransportFactory, listen = EVERYWHERE): Promise<Node> {
  return createLibp2p({
    addresses: { listen },
    transports: [transport],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: { addressDialTimeout: TIMEOUT },
    services: {
      // by hand, in ask.ts: that way an answer that does not come has a reason
      identify: identify({ runOnConnectionOpen: false }),
      ping: ping()
    }
  })
}

export function portOf (ma: Multiaddr): string {
  return `${getNetConfig(ma).port}`
}

/**
 * Does the node listen on the port of this address, over the same IP version?
 */
export function listensOnPortOf (node: Node, ma: Multiaddr): boolean {
  return node.getMultiaddrs().some(own => getNetConfig(own).type === getNetConfig(ma).type && portOf(own) === portOf(ma))
}

/**
 * In words
 */
export function listeningPorts (node: Node): string {
  const ports = node.getMultiaddrs().map(ma => `${portOf(ma)} (${getNetConfig(ma).type === 'ip6' ? 'IPv6' : 'IPv4'})`)

  return `port ${[...new Set(ports)].join(' and ')}`
}
