/**
 * How a NAT maps a local endpoint to external ones (RFC 4787, section 4.1).
 *
 * - `endpoint-independent`: to the same one, whatever the destination. Peers can
 * be told where to reach us
 * - `endpoint-dependent`: to another one for each destination. RFC 4787 tells
 * address-dependent and address-and-port-dependent apart; for a hole punch both
 * mean that what one peer observes is of no use to another
 * - `unknown`: too few have told, or they contradict each other
 */
export type NatMapping = 'unknown' | 'endpoint-independent' | 'endpoint-dependent'

/**
 * @param observed - the external address that each observer saw, one for each
 * @param threshold - how many observers it takes to be sure that no two agree
 */
export function natMapping (observed: string[], threshold: number): NatMapping {
  const counts = new Map<string, number>()

  for (const address of observed) {
    counts.set(address, (counts.get(address) ?? 0) + 1)
  }

  const most = Math.max(0, ...counts.values())

  if (most >= 2 && most * 2 > observed.length) {
    return 'endpoint-independent'
  }

  if (observed.length >= threshold && most * 2 <= observed.length) {
    return 'endpoint-dependent'
  }

  return 'unknown'
}
