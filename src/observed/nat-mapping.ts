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
 * @param seen - how many observers have told, and how many of them agree at most
 * @param seen.observers
 * @param seen.most
 * @param threshold - how many observers it takes to be sure that no two agree
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
