import { familyOf, isLoopback, isWildcard } from '../endpoint.ts'
import type { Endpoint } from '../endpoint.ts'

/** Which rule of `chooseSources` selected a listening endpoint */
export type ReuseRule = 'loopback' | 'route' | 'wildcard'

/** A listening endpoint to dial from */
export interface Source extends Endpoint {
  readonly rule: ReuseRule
}

/**
 * The listening endpoints that a dial to `destination` can come from, best first. If the list
 * is empty, the dial has to come from an ephemeral port.
 *
 * 1. If the destination is a loopback address: the loopback endpoints, in random order.
 * 2. The endpoints on the address that the kernel would use as source, in random order.
 * 3. The wildcard endpoints, in random order.
 *
 * An endpoint of the other address family is never used. A loopback endpoint is never used for
 * a destination that is not loopback (Linux refuses this with EINVAL).
 *
 * go-libp2p's `reuseport` transport uses the same order.
 *
 * @param listening
 * @param destination
 * @param routeSource - the local address that the kernel would use to reach the destination,
 * see {@link needsRoute}
 */
export function chooseSources (listening: readonly Endpoint[], destination: Endpoint, routeSource?: string): Source[] {
  const usable = shuffle(listening.filter(({ host }) => familyOf(host) === familyOf(destination.host)))

  const matching = (rule: ReuseRule, matches: (host: string) => boolean): Source[] => {
    return usable.filter(({ host }) => matches(host)).map(({ host, port }) => ({ host, port, rule }))
  }

  return [
    ...(isLoopback(destination.host) ? matching('loopback', isLoopback) : []),
    ...matching('route', host => host === routeSource && !isLoopback(host)),
    ...matching('wildcard', isWildcard)
  ]
}

/**
 * Does {@link chooseSources} need the local address that the kernel would use? It does if a
 * listener of this family is on an address that is neither loopback nor the wildcard
 */
export function needsRoute (listening: readonly Endpoint[], destination: Endpoint): boolean {
  return !isLoopback(destination.host) && listening.some(({ host }) => {
    return familyOf(host) === familyOf(destination.host) && !isLoopback(host) && !isWildcard(host)
  })
}

function shuffle <T> (values: T[]): T[] {
  for (let i = values.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [values[i], values[j]] = [values[j], values[i]]
  }

  return values
}
