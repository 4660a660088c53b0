import { isPrivate } from '@libp2p/utils'
import { Circuit } from '@multiformats/multiaddr-matcher'
import { byAgreement } from '../observed/votes.ts'
import type { ObservedEndpoint } from '../observed/observed.ts'
import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

/** How many candidates are offered at most. A DCUtR message has room for 4 KiB */
const MAX_CANDIDATES = 16

/**
 * How many observed addresses are offered at most for each listening endpoint. It has one,
 * unless the NAT maps it to another one for each destination, and then they are of little
 * use
 */
const MAX_OBSERVED = 3

export interface CandidatesInit {
  /** What libp2p announces, with our peer id */
  announced: Multiaddr[]
  observed: ObservedEndpoint[]
  peerId: PeerId
}

/**
 * The addresses that a peer is asked to dial in a hole punch, each once, the best ones first,
 * as a peer dials only some of them:
 *
 * 1. what is announced and public: it is verified, so anybody can dial it
 * 2. what dialed peers observe: what most of them observe comes first
 * 3. what only inbound peers observe, if as many agree on it as `observedAddressThreshold`
 * asks for. Anybody can dial us and name the address of somebody else, whom the peer would
 * then dial
 * 4. what else is announced
 */
export function candidates ({ announced, observed, peerId }: CandidatesInit): Multiaddr[] {
  const believed = observed
    .flatMap(({ addresses }) => addresses.filter(({ agreed, dialed }) => agreed || dialed > 0).slice(0, MAX_OBSERVED))
    .sort(byAgreement)
    .map(({ multiaddr }) => multiaddr.encapsulate(`/p2p/${peerId}`))
  const ordered = [...announced.filter(isReachable), ...believed, ...announced]

  return [...new Map(ordered.map(ma => [ma.toString(), ma])).values()].slice(0, MAX_CANDIDATES)
}

function isReachable (ma: Multiaddr): boolean {
  return !Circuit.matches(ma) && !isPrivate(ma)
}
