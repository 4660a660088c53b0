import dns from 'node:dns/promises'
import path from 'node:path'
import { InvalidParametersError } from '@libp2p/interface'
import { getNetConfig } from '@libp2p/utils'
import { CODE_UNIX, isMultiaddr } from '@multiformats/multiaddr'
import { TCP } from '@multiformats/multiaddr-matcher'
import { familyOf, isWildcard } from './port-pool.ts'
import { untilAborted } from './race.ts'
import type { Endpoint, Family } from './port-pool.ts'
import type { Multiaddr } from '@multiformats/multiaddr'

/**
 * What a multiaddr that this transport understands stands for
 */
export type Target =
  { readonly type: 'unix', readonly path: string } |
  { readonly type: 'ip', readonly endpoint: Endpoint } |
  { readonly type: 'name', readonly name: string, readonly family?: Family, readonly port: number }

/**
 * Is this TCP over IPv4, IPv6 or DNS, or a unix socket?
 */
export function isSupported (ma: Multiaddr): boolean {
  return TCP.exactMatch(ma) || ma.toString().startsWith('/unix/')
}

/**
 * @throws {InvalidParametersError} if the multiaddr can't be listened on
 */
export function parseListenAddr (ma: Multiaddr): Target {
  if (!isMultiaddr(ma)) {
    throw new InvalidParametersError(`${String(ma)} is not a multiaddr`)
  }

  const [first] = ma.getComponents()

  if (first?.code === CODE_UNIX && first.value != null) {
    return { type: 'unix', path: process.platform === 'win32' ? path.join('\\\\.\\pipe\\', first.value) : first.value }
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
      return { type: 'ip', endpoint: { host: config.zone == null ? config.host : `${config.host}%${config.zone}`, port } }
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

/**
 * @throws {InvalidParametersError} if the multiaddr can't be dialed
 */
export function parseDialAddr (ma: Multiaddr): Target {
  const target = parseListenAddr(ma)

  if (target.type === 'unix') {
    return target
  }

  const { port } = target.type === 'ip' ? target.endpoint : target

  if (port === 0) {
    throw new InvalidParametersError(`Can not dial port 0 of multiaddr ${ma}`)
  }

  if (target.type === 'name') {
    return target
  }

  const host = unmapIPv4(target.endpoint.host)

  if (isWildcard(host)) {
    throw new InvalidParametersError(`Can not dial the unspecified address of multiaddr ${ma}`)
  }

  return { type: 'ip', endpoint: { host, port } }
}

/**
 * The endpoints behind a name, from the system's resolver. The families take
 * turns, beginning with the one that the resolver prefers (RFC 8305, section 4)
 *
 * @throws {Error} the system's error (ENOTFOUND, EAI_AGAIN…) or {@link AbortError}
 */
export async function resolveName (name: string, port: number, family: Family | undefined, signal: AbortSignal): Promise<Endpoint[]> {
  const found = await untilAborted(dns.lookup(name, { all: true, family: family ?? 0, order: 'verbatim' }), signal)
  const hosts = [...new Set(found.map(({ address }) => address))]
  const preferred = hosts.filter(host => familyOf(host) === familyOf(hosts[0]))
  const others = hosts.filter(host => familyOf(host) !== familyOf(hosts[0]))

  return hosts
    .flatMap((_, i) => [preferred[i], others[i]])
    .filter(host => host != null)
    .map(host => ({ host, port }))
}

/**
 * An IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2) is reached over IPv4,
 * which an IPv6-only socket can't do
 */
function unmapIPv4 (host: string): string {
  const groups = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(host)?.slice(1)

  if (groups == null) {
    return host
  }

  return groups.map(group => parseInt(group, 16)).map(n => `${n >> 8}.${n & 0xff}`).join('.')
}
