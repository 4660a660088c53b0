import { isGlobalUnicastIp, isPrivateIp } from '@libp2p/utils'
import { familyOf, isLoopback, isWildcard } from '../endpoint.ts'

/**
 * Who counts as one observer: an IPv4 address, or a /56 of IPv6, which is what
 * one site gets (RFC 6177). As go-libp2p counts them
 */
export function observerOf (host: string): string {
  if (familyOf(host) === 4) {
    return host
  }

  const groups = expandIPv6(host)

  // the fourth group counts with its first half only
  return [...groups.slice(0, 3), groups[3] >> 8].map(group => group.toString(16)).join(':')
}

/**
 * Can a host on the Internet be reached at this address?
 */
export function isPublic (host: string): boolean {
  if (isWildcard(host) || isLoopback(host)) {
    return false
  }

  if (familyOf(host) === 4) {
    // from 224 on there is multicast, and nothing
    return isPrivateIp(host) === false && Number(host.split('.')[0]) < 224
  }

  return isGlobalUnicastIp(host) === true && isPrivateIp(host) === false
}

function expandIPv6 (host: string): number[] {
  const [head, tail] = host.split('%')[0].split('::').map(part => part === '' ? [] : part.split(':').map(group => parseInt(group, 16)))

  return tail == null ? head : [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => 0), ...tail]
}
