import { BlockList } from 'node:net'

/**
 * An IP address and a TCP port. IPv6 addresses have their canonical short form, with `%zone` at
 * the end if a zone is needed
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

/**
 * The IPv4 addresses that no host on the Internet has: all of IANA's IPv4 Special-Purpose
 * Address Registry (RFC 6890), including its anycast services, and multicast. A deprecated block
 * (6to4 relays, 192.88.99.0/24) stays special
 */
const SPECIAL_IPV4 = [
  '0.0.0.0/8', // this network
  '10.0.0.0/8', // private use
  '100.64.0.0/10', // shared by the customers of a carrier-grade NAT
  '127.0.0.0/8', // loopback
  '169.254.0.0/16', // link-local, where clouds have their metadata service
  '172.16.0.0/12', // private use
  '192.0.0.0/24', // IETF protocol assignments
  '192.0.2.0/24', // documentation
  '192.31.196.0/24', // AS112
  '192.52.193.0/24', // AMT
  '192.88.99.0/24', // 6to4 relays
  '192.168.0.0/16', // private use
  '192.175.48.0/24', // AS112
  '198.18.0.0/15', // benchmarking
  '198.51.100.0/24', // documentation
  '203.0.113.0/24', // documentation
  '224.0.0.0/4', // multicast
  '240.0.0.0/4' // reserved, and broadcast
]

/**
 * The IPv6 addresses that hosts on the Internet have (IANA's IPv6 Address Space registry).
 * Among the addresses outside of this block are loopback, IPv4-mapped and IPv4-compatible
 * addresses (::/8), NAT64 (64:ff9b::/96, 64:ff9b:1::/48), unique local (fc00::/7), link-local
 * (fe80::/10), site-local (fec0::/10) and multicast (ff00::/8)
 */
const GLOBAL_UNICAST_IPV6 = '2000::/3'

/**
 * The special addresses in {@link GLOBAL_UNICAST_IPV6}: IANA's IPv6 Special-Purpose Address
 * Registry. A 6to4 or Teredo address leads to the IPv4 address inside it, which may be any
 */
const SPECIAL_IPV6 = [
  '2001::/23', // IETF protocol assignments: Teredo, benchmarking, ORCHID…
  '2001:db8::/32', // documentation
  '2002::/16', // 6to4
  '2620:4f:8000::/48', // AS112
  '3fff::/20' // documentation
]

const SPECIAL = blocks([...SPECIAL_IPV4, ...SPECIAL_IPV6])
const GLOBAL_UNICAST = blocks([GLOBAL_UNICAST_IPV6])

/**
 * Can a host on the Internet have this address? It can't if the address is special in one of
 * IANA's registries. It can't either if the address has a zone, as only link-local addresses
 * need a zone.
 *
 * libp2p's `isPrivate` is less strict. For it, multicast, NAT64, site-local and IPv4-compatible
 * addresses and all names are public
 */
export function isPublic (host: string): boolean {
  if (host.includes('%')) {
    return false
  }

  return familyOf(host) === 4
    ? !SPECIAL.check(host)
    : GLOBAL_UNICAST.check(host, 'ipv6') && !SPECIAL.check(host, 'ipv6')
}

function blocks (prefixes: string[]): BlockList {
  const list = new BlockList()

  for (const prefix of prefixes) {
    const [address, length] = prefix.split('/')
    list.addSubnet(address, Number(length), `ipv${familyOf(address)}`)
  }

  return list
}

/**
 * The site that a host belongs to: an IPv4 address, or a /56 of IPv6, because one site gets a
 * /56 (RFC 6177). The owner of a site has all of its addresses. So all hosts of a site together
 * count as one observer. go-libp2p counts observers in the same way
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
