import { isGlobalUnicastIp, isPrivateIp } from '@libp2p/utils'

/**
 * An IP address and a TCP port. IPv6 addresses are in their canonical short
 * form, with `%zone` appended where a zone is needed
 */
export interface Endpoint {
  readonly host: string
  readonly port: number
}

export type Family = 4 | 6

export function familyOf (host: string): Family {
  return host.includes(':') ? 6 : 4
}

export function isLoopback (host: string): boolean {
  return host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

export function isWildcard (host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

/** Can a host on the Internet be reached at this address? */
export function isPublic (host: string): boolean {
  if (isWildcard(host) || isLoopback(host)) {
    return false
  }

  if (familyOf(host) === 4) {
    // 224.0.0.0 and above are multicast and reserved addresses
    return isPrivateIp(host) === false && Number(host.split('.')[0]) < 224
  }

  return isGlobalUnicastIp(host) === true && isPrivateIp(host) === false
}

/**
 * The site that a host belongs to: an IPv4 address, or a /56 of IPv6, which is what one
 * site gets (RFC 6177). Whoever has a site has all of its addresses, so what they say
 * counts once. go-libp2p counts observers in the same way
 */
export function siteOf (host: string): string {
  if (familyOf(host) === 4) {
    return host
  }

  const groups = expandIPv6(host)

  // 56 bits are three groups of 16 and half of the fourth
  return [...groups.slice(0, 3), groups[3] >> 8].map(group => group.toString(16)).join(':')
}

function expandIPv6 (host: string): number[] {
  const [head, tail] = host.split('%')[0].split('::').map(part => part === '' ? [] : part.split(':').map(group => parseInt(group, 16)))

  return tail == null ? head : [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => 0), ...tail]
}

export function sameEndpoint (a: Endpoint, b: Endpoint): boolean {
  return a.port === b.port && a.host === b.host
}

/** The key of an endpoint in a map */
export function keyOf ({ host, port }: Endpoint): string {
  return `${host} ${port}`
}
