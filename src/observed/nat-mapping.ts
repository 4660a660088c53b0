import { keyOf } from '../endpoint.ts'
import { stillTrue } from './dials.ts'
import type { Dial } from './dials.ts'

/**
 * How a NAT maps a local endpoint to external ones (RFC 4787, section 4.1).
 *
 * - `endpoint-independent`: to the same one for all destinations. Peers can be told where to
 * reach this node.
 * - `endpoint-dependent`: to a different one for each destination. RFC 4787 distinguishes
 * address-dependent and address-and-port-dependent. The difference does not matter for a hole
 * punch: in both cases the address that one peer observes is of no use to another peer.
 * - `unknown`: too few peers have reported an address, or they contradict each other.
 */
export type NatMapping = 'unknown' | 'endpoint-independent' | 'endpoint-dependent'

/**
 * How the NAT, if there is one, maps the endpoint that the dials came from. An observer that
 * dialed this node does not count, as it only reports the address that it dialed.
 *
 * A closed connection with another IP address than the newest dial is from before a change of
 * network: a NAT gives all connections of a host the same IP address (RFC 4787, section 4.1,
 * 'paired')
 *
 * @param dials - the newest first
 * @param threshold - how many observers are needed for the answer `endpoint-dependent`
 */
export function mappingOf (dials: readonly Dial[], threshold: number): NatMapping {
  const judged = stillTrue(dials).filter(({ external, isOpen }) => isOpen || external.host === dials[0].external.host)
  const counts = new Map<string, number>()

  for (const { external } of judged) {
    counts.set(keyOf(external), (counts.get(keyOf(external)) ?? 0) + 1)
  }

  return natMapping({ observers: judged.length, most: Math.max(0, ...counts.values()) }, threshold)
}

/**
 * @param seen
 * @param seen.observers - how many observers have reported an address
 * @param seen.most - how many of them agree on the most reported address
 * @param threshold - how many observers are needed for the answer `endpoint-dependent`
 */
export function natMapping ({ observers, most }: { observers: number, most: number }, threshold: number): NatMapping {
  if (most >= 2 && most * 2 > observers) {
    return 'endpoint-independent'
  }

  if (observers >= threshold && most * 2 <= observers) {
    return 'endpoint-dependent'
  }

  return 'unknown'
}
