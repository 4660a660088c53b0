import { isPrivate } from '@libp2p/utils'
import { Circuit } from '@multiformats/multiaddr-matcher'
import { byAgreement } from '../observed/votes.ts'
import type { ObservedEndpoint } from '../observed/observed.ts'
import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

/** The largest number of candidates. A DCUtR message has room for 4 KiB */
const MAX_CANDIDATES = 16

/**
 * The largest number of observed addresses for each listening endpoint. An endpoint has one,
 * unless the NAT maps it to a different address for each destination. Then these addresses are
 * of little use
 */
const MAX_OBSERVED = 3

/** The same if the next addresses of the endpoint are known. A peer dials eight in all */
const MAX_OBSERVED_BEFORE_NEXT = 1

export interface CandidatesInit {
  /** The addresses that libp2p announces, with this node's peer id */
  announced: Multiaddr[]
  observed: ObservedEndpoint[]
  peerId: PeerId
}

/**
 * The addresses that a peer is asked to dial in a hole punch, each once. A peer dials only some
 * of them, so the best ones come first:
 *
 * 1. For each listening endpoint, the address that the newest dial shows. After a change of
 * network this is the right one, while an address that is announced may still be the old one.
 * 2. Announced public addresses. They are verified, so anybody can dial them.
 * 3. The addresses that a NAT that counts will give to the next connections.
 * 4. Other addresses that dialed peers observe.
 * 5. Addresses that only inbound peers observe, if at least `observedAddressThreshold` observers
 * agree. One inbound peer is not enough: anybody can dial this node and name the address of a
 * third party. The peer would then dial the third party.
 * 6. The other announced addresses.
 */
export function candidates ({ announced, observed, peerId }: CandidatesInit): Multiaddr[] {
  const believed = observed
    .flatMap(({ addresses, next }) => addresses
      .filter(({ agreed, dialed }) => agreed || dialed > 0)
      .slice(0, next.length === 0 ? MAX_OBSERVED : MAX_OBSERVED_BEFORE_NEXT)
      .map((address, rank) => ({ ...address, rank, isNewest: rank === 0 && address.dialed > 0 && next.length === 0 })))
    .sort((a, b) => Number(b.dialed > 0) - Number(a.dialed > 0) || a.rank - b.rank || byAgreement(a, b))
  const withPeerId = (ma: Multiaddr): Multiaddr => ma.encapsulate(`/p2p/${peerId}`)
  const ordered = [
    ...believed.filter(({ isNewest }) => isNewest).map(({ multiaddr }) => withPeerId(multiaddr)),
    ...announced.filter(isReachable),
    ...observed.flatMap(({ next }) => next.map(withPeerId)),
    ...believed.map(({ multiaddr }) => withPeerId(multiaddr)),
    ...announced
  ]

  return [...new Map(ordered.map(ma => [ma.toString(), ma])).values()].slice(0, MAX_CANDIDATES)
}

function isReachable (ma: Multiaddr): boolean {
  return !Circuit.matches(ma) && !isPrivate(ma)
}
