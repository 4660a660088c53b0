import { tcp } from '@libp2p/tcp'
import { CODE_P2P } from '@multiformats/multiaddr'
import { reuseportTcp } from '../../src/index.ts'
import { SOURCE_COLUMNS, SOURCE_LEGEND, dial, sourceCells } from './dial.ts'
import { hasIPv6 } from './ipv6.ts'
import { listeningPorts, listensOnPortOf, portOf, startNode } from './node.ts'
import { startPeer } from './peer-process.ts'
import { print } from './print.ts'
import { formatTable } from './table.ts'
import type { Node } from './node.ts'
import type { PeerProcess } from './peer-process.ts'
import type { SourcePort } from '../../src/index.ts'
import type { Multiaddr } from '@multiformats/multiaddr'

const IP4 = '/ip4/127.0.0.1/tcp/0'
const IP6 = '/ip6/::1/tcp/0'

/**
 * What each peer listens on
 */
const PEERS = [[IP4], [IP6], [IP4, IP6]]

const TABLE = [
  { columns: ['the peer listens on'] },
  { title: 'dialed with reuseportTcp', columns: [...SOURCE_COLUMNS, 'peer saw'] },
  { title: 'with @libp2p/tcp', columns: ['peer saw', 'reused'] }
]

/**
 * Dials peers on this machine, each of which is a process of its own, once with
 * this transport and once with `@libp2p/tcp`, and prints what the peers saw
 */
export async function compare (): Promise<void> {
  const ipv6 = await hasIPv6()
  const listen = PEERS.map(addresses => addresses.filter(address => ipv6 || address !== IP6))
  const peers = await Promise.all(listen.filter(addresses => addresses.length > 0).map(startPeer))
  const reusing = await startNode(reuseportTcp())
  const plain = await startNode(tcp())

  try {
    print('Peers on this machine, each in a process of its own, tell which port we dial from.', '')
    print(`reuseportTcp listens on ${listeningPorts(reusing)}`)
    print(`@libp2p/tcp  listens on ${listeningPorts(plain)}`)

    if (!ipv6) {
      print('There is no IPv6 on this machine, so its rows are left out')
    }

    const rows: string[][] = []

    for (const peer of peers) {
      for (const address of peer.addresses) {
        rows.push(...await dialWithBoth(reusing, plain, peer, address))
      }
    }

    print('', ...formatTable(TABLE, rows), '', SOURCE_LEGEND)
  } finally {
    await Promise.all([reusing.stop(), plain.stop()])
    await Promise.all(peers.map(async peer => peer.stop()))
  }
}

async function dialWithBoth (reusing: Node, plain: Node, peer: PeerProcess, address: Multiaddr): Promise<string[][]> {
  const { source, seen } = await dialPeer(reusing, peer, address)
  const { seen: seenOfPlain } = await dialPeer(plain, peer, address)

  const row = [
    address.decapsulateCode(CODE_P2P).toString(),
    ...sourceCells(reusing, source),
    portOf(seen),
    portOf(seenOfPlain),
    listensOnPortOf(plain, seenOfPlain) ? 'yes' : 'no'
  ]

  return source?.because == null ? [row] : [row, ['', source.because]]
}

async function dialPeer (node: Node, peer: PeerProcess, address: Multiaddr): Promise<{ source?: SourcePort, seen: Multiaddr }> {
  const [{ source }, seen] = await Promise.all([
    dial(node, address),
    peer.nextConnectionFrom(node.peerId)
  ])

  return { source, seen }
}
