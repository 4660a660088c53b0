import os from 'node:os'
import { tcp } from '@libp2p/tcp'
import { getNetConfig } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { reuseportTcp } from 'libp2p-reuseport-tcp'
import { askPeer } from './ask-peer.ts'
import { startLocalPeer } from './local-peer.ts'
import { EVERYWHERE, THIS_MACHINE, listenAddresses, startNode } from './node.ts'
import { findPublicPeers } from './public-peers.ts'
import { OBSERVERS_NEEDED, judge } from './verdict.ts'
import type { Options } from './command-line.ts'
import type { Node } from './node.ts'
import type { CheckResult, InboundResult, ObservedResult, PeerResult } from './result.ts'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { ObservedEndpoint, ReuseportTcpTransport } from 'libp2p-reuseport-tcp'

export interface CheckOptions extends Omit<Options, 'json'> {
  signal: AbortSignal

  /** Called with a text at each step */
  show(step: string): void
}

/**
 * Starts a node and dials the peers from it. Does the same from a node with `@libp2p/tcp`. Then
 * stops everything that it started.
 *
 * One dial follows the other. Parallel dials would affect each other's times, and libp2p joins
 * dials to the same peer.
 *
 * The dials stay open. Then the other node connects to the addresses that they came from: the
 * listener must go on accepting there, while other sockets have the same address and port.
 *
 * @throws {Error} if `winsock` can't be used here, if the port can't be listened on, if this machine has no address, if the
 * public peers can't be looked up, or the reason of the signal when that aborts
 */
export async function check ({ addresses, publicPeers, port, timeout, winsock, signal, show }: CheckOptions): Promise<CheckResult> {
  const started: Array<{ stop(): Promise<void> | void }> = []
  const start = async <T extends { stop(): Promise<void> | void }> (starting: Promise<T>): Promise<T> => {
    const result = await starting
    started.push(result)
    signal.throwIfAborted()

    return result
  }

  try {
    show('starting')
    const createTransport = reuseportTcp({
      observedAddressThreshold: OBSERVERS_NEEDED,
      portReuse: winsock ? (await import('libp2p-reuseport-tcp/winsock')).winsock() : undefined
    })
    const transports: ReuseportTcpTransport[] = []
    const node = await start(startNode({
      transport: components => {
        const transport = createTransport(components)
        transports.push(transport)

        return transport
      },
      listen: await listenAddresses(EVERYWHERE, port),
      timeout
    }))
    const plain = await start(startNode({ transport: tcp(), listen: await listenAddresses(EVERYWHERE, 0), timeout }))
    // before the dials, because they may add external addresses
    const listening = endpointsOf(node)

    if (listening.length === 0) {
      throw new Error('This machine has no IP address, not even that of the loopback interface, so it can not dial')
    }

    if (publicPeers) {
      show('looking up the public peers')
      addresses = [...addresses, ...await findPublicPeers(signal)]
    }

    const localPeers = addresses.length === 0

    if (localPeers) {
      for (const listen of await listenAddresses(THIS_MACHINE, 0)) {
        const { address } = await start(startLocalPeer(listen))
        addresses = [...addresses, address]
      }
    }

    const peers: PeerResult[] = []

    for (const [i, address] of addresses.entries()) {
      show(`${i + 1}/${addresses.length} dialing ${address}`)
      peers.push({
        address: address.toString(),
        ...await askPeer(node, address, { timeout, signal }),
        libp2pTcp: await askPeer(plain, address, { timeout, signal })
      })
    }

    const inbound: InboundResult[] = []

    for (const address of reusedAddresses(peers)) {
      show(`connecting to ${address}`)
      const { reached, error } = await askPeer(plain, multiaddr(`${address}/p2p/${node.peerId}`), { timeout, signal })
      inbound.push({ address, reached, error })
    }

    show('closing')
    const [transport] = transports
    const observed = transport.observed()

    return {
      peerId: node.peerId.toString(),
      listening,
      portReuse: transport.portReuse(),
      libp2pTcpListening: endpointsOf(plain),
      localPeers,
      peers,
      inbound,
      verdict: judge(peers, listening.map(endpoint => toObserved(endpoint, observed)), inbound)
    }
  } finally {
    await Promise.all(started.map(async one => one.stop()))
  }
}

/** The local ends of the dials from a listening port, each once */
function reusedAddresses (peers: PeerResult[]): string[] {
  return [...new Set(peers.flatMap(({ source }) => source?.kind === 'reused' ? [source.address] : []))]
}

/** libp2p lists the addresses of all interfaces instead of the wildcard */
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

/** Is the external address an address of this machine, with the port unchanged? */
function isSameEndpoint (external: Multiaddr, local: Multiaddr): boolean {
  const { host, port } = getNetConfig(external)

  return port === getNetConfig(local).port && Object.values(os.networkInterfaces()).flat().some(own => own?.address === host)
}
