import { getNetConfig } from '@libp2p/utils'
import { isOwnAddress } from '../port-reuse/route.ts'
import { askPeer } from './ask-peer.ts'
import { EVERYWHERE, THIS_MACHINE, listenAddresses, startNode } from './node.ts'
import { judge } from './verdict.ts'
import type { Node } from './node.ts'
import type { Options } from './options.ts'
import type { CheckResult, ObservedResult, PeerResult } from './result.ts'
import type { ObservedEndpoint } from '../index.ts'
import type { Multiaddr } from '@multiformats/multiaddr'

export interface CheckOptions extends Pick<Options, 'addresses' | 'port' | 'timeout'> {
  signal: AbortSignal

  /**
   * Told what is being done
   */
  show(step: string): void
}

/**
 * Starts a node, dials the peers from it, and stops everything that it started.
 *
 * One peer after the other: dials that run at the same time would disturb each
 * other's times, and libp2p joins those to one peer.
 *
 * @throws {Error} if the port can't be listened on, or the reason of the signal
 * when that aborts
 */
export async function check ({ addresses, port, timeout, signal, show }: CheckOptions): Promise<CheckResult> {
  const started: Node[] = []
  const start = async (listen: string[]): ReturnType<typeof startNode> => {
    signal.throwIfAborted()
    const result = await startNode(listen, timeout)
    started.push(result.node)

    return result
  }

  try {
    show('starting')
    const { node, transport } = await start(await listenAddresses(EVERYWHERE, port))
    const listening = endpointsOf(node)
    const localPeers = addresses.length === 0

    if (localPeers) {
      for (const listen of await listenAddresses(THIS_MACHINE, 0)) {
        const { node: peer } = await start([listen])
        addresses = [...addresses, ...peer.getMultiaddrs().map(ma => ma.toString())]
      }
    }

    const peers: PeerResult[] = []

    for (const [i, address] of addresses.entries()) {
      show(`${i + 1}/${addresses.length} dialing ${address}`)
      signal.throwIfAborted()
      peers.push(await askPeer(node, address, { timeout, signal }))
    }

    show('closing')
    const observed = transport.observed()

    return {
      peerId: node.peerId.toString(),
      listening,
      localPeers,
      peers,
      verdict: judge(peers, listening.map(endpoint => toObserved(endpoint, observed)))
    }
  } finally {
    await Promise.all(started.map(async node => node.stop()))
  }
}

/**
 * libp2p lists the addresses of all interfaces in place of the wildcard
 */
function endpointsOf (node: Node): string[] {
  const endpoints = node.getMultiaddrs().map(ma => {
    const { type, port } = getNetConfig(ma)

    return type === 'ip6' ? `/ip6/::/tcp/${port}` : `/ip4/0.0.0.0/tcp/${port}`
  })

  return [...new Set(endpoints)].sort()
}

function toObserved (listening: string, observed: ObservedEndpoint[]): ObservedResult {
  const { addresses, local, mapping } = observed.find(({ local }) => local.toString() === listening) ?? { addresses: [], mapping: 'unknown' }

  return {
    listening,
    addresses: addresses.map(({ multiaddr, observers }) => ({ address: multiaddr.toString(), observers })),
    behindNat: local == null ? null : addresses.some(({ multiaddr }) => !isSameEndpoint(multiaddr, local)),
    natMapping: mapping
  }
}

/**
 * Is the external address an address of this machine, with the port unchanged?
 */
function isSameEndpoint (external: Multiaddr, local: Multiaddr): boolean {
  const { host, port } = getNetConfig(external)

  return port === getNetConfig(local).port && isOwnAddress(host)
}
