import dns from 'node:dns/promises'
import net from 'node:net'
import path from 'node:path'
import { InvalidParametersError } from '@libp2p/interface'
import { getNetConfig, isLinkLocalIp } from '@libp2p/utils'
import { CODE_UNIX, isMultiaddr, multiaddr } from '@multiformats/multiaddr'
import { TCP } from '@multiformats/multiaddr-matcher'
import { untilAborted } from './abort.ts'
import { describe } from './describe.ts'
import { familyOf } from './endpoint.ts'
import type { Endpoint, Family } from './endpoint.ts'
import type { Multiaddr } from '@multiformats/multiaddr'

/** The meaning of a multiaddr: a unix path, an endpoint, or a name with a port */
export type Target =
  { readonly type: 'unix', readonly path: string } |
  { readonly type: 'ip', readonly endpoint: Endpoint } |
  { readonly type: 'name', readonly name: string, readonly family?: Family, readonly port: number }

/** The path of named pipes on Windows. A listener announces its pipe with this path */
const PIPES = '\\\\.\\pipe\\'

/** Is this TCP over IPv4, IPv6 or DNS, or a unix socket? */
export function isSupported (ma: Multiaddr): boolean {
  return TCP.exactMatch(ma) || ma.toString().startsWith('/unix/')
}

/** @throws {InvalidParametersError} if the multiaddr can't be listened on */
export function parseListenAddr (ma: Multiaddr): Target {
  if (!isMultiaddr(ma)) {
    throw new InvalidParametersError(`${describe(ma)} is not a multiaddr`)
  }

  const [first] = ma.getComponents()

  if (first?.code === CODE_UNIX && first.value != null) {
    return { type: 'unix', path: process.platform === 'win32' && !first.value.startsWith(PIPES) ? path.join(PIPES, first.value) : first.value }
  }

  if (!TCP.exactMatch(ma)) {
    throw new InvalidParametersError(`Multiaddr ${ma} is neither TCP over IPv4, IPv6 or DNS nor a unix socket`)
  }

  const config = getNetConfig(ma)
  const port = config.port ?? 0

  switch (config.type) {
    case 'ip4':
      return { type: 'ip', endpoint: { host: config.host, port } }
    case 'ip6':
      return { type: 'ip', endpoint: { host: canonicalHost(config.zone == null ? config.host : `${config.host}%${config.zone}`), port } }
    case 'dns':
      return { type: 'name', name: config.host, port }
    case 'dns4':
      return { type: 'name', name: config.host, family: 4, port }
    case 'dns6':
      return { type: 'name', name: config.host, family: 6, port }
    default:
      throw new InvalidParametersError(`Multiaddr ${ma} must be resolved to an IP address or a host name first`)
  }
}

/** @throws {InvalidParametersError} if the multiaddr can't be dialed */
export function parseDialAddr (ma: Multiaddr): Target {
  const target = parseListenAddr(ma)

  if (target.type === 'unix') {
    return target
  }

  const { port } = target.type === 'ip' ? target.endpoint : target

  if (port === 0) {
    throw new InvalidParametersError(`Can not dial port 0 of multiaddr ${ma}`)
  }

  return target.type === 'ip' ? { type: 'ip', endpoint: toDestination(target.endpoint) } : target
}

/**
 * The endpoint that a connection to this endpoint really reaches. The unspecified address means
 * this host: Linux's connect(2) uses the loopback address instead
 * (`ip_route_output_key_hash_rcu` in net/ipv4/route.c, `tcp_v6_connect` in net/ipv6/tcp_ipv6.c)
 */
export function toDestination ({ host, port }: Endpoint): Endpoint {
  switch (host) {
    case '0.0.0.0':
      return { host: '127.0.0.1', port }
    case '::':
      return { host: '::1', port }
    default:
      return { host, port }
  }
}

/**
 * The distinct endpoints that the system's resolver finds for a name, in the order of
 * `dns.setDefaultResultOrder()` and `--dns-result-order`. The families alternate, and the family
 * of the first address comes first (RFC 8305, section 4).
 *
 * With `net.setDefaultAutoSelectFamily(false)` or `--no-network-family-autoselection`, only the
 * first endpoint is returned
 *
 * @throws {Error} the system's error (ENOTFOUND, EAI_AGAIN…) or {@link AbortError}
 */
export async function resolveName (name: string, port: number, family?: Family, signal?: AbortSignal): Promise<Endpoint[]> {
  const found = await untilAborted(dns.lookup(name, { all: true, family: family ?? 0 }), signal)
  const hosts = [...new Set(found.map(({ address }) => canonicalHost(address)))]
  const preferred = hosts.filter(host => familyOf(host) === familyOf(hosts[0]))
  const others = hosts.filter(host => familyOf(host) !== familyOf(hosts[0]))

  return hosts
    .flatMap((_, i) => [preferred[i], others[i]])
    .filter(host => host != null)
    .slice(0, net.getDefaultAutoSelectFamily() ? Infinity : 1)
    .map(host => ({ host, port }))
}

/**
 * The one spelling of an address. Sockets of the kernel, multiaddrs and getaddrinfo(3) spell some
 * addresses differently, but here the same host must be the same string.
 *
 * - An IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2) becomes the IPv4 address. It is
 * reached over IPv4, and an IPv6-only socket can't do this. getaddrinfo prints
 * `::ffff:127.0.0.1`, a multiaddr `::ffff:7f00:1`.
 * - A zone is removed if the address is not link-local. Only link-local addresses need a zone
 * (RFC 4007, section 6). Linux ignores all other zones
 */
function canonicalHost (host: string): string {
  const [address, zone] = host.split('%')
  const mapped = /^::ffff:(?:([0-9a-f]{1,4}):([0-9a-f]{1,4})|([0-9.]+))$/i.exec(address)

  if (mapped == null) {
    return zone != null && isLinkLocalIp(address) ? host : address
  }

  const [, high, low, dotted] = mapped

  return dotted ?? [high, low].map(group => parseInt(group, 16)).map(n => `${n >> 8}.${n & 0xff}`).join('.')
}

/** The multiaddr of an endpoint, with its zone if it has one */
export function toMultiaddr ({ host, port }: Endpoint): Multiaddr {
  const [ip, zone] = host.split('%')
  const prefix = zone == null ? '' : `/ip6zone/${zone}`

  return multiaddr(`${prefix}/ip${familyOf(ip)}/${ip}/tcp/${port}`)
}
