import { multiaddr } from '@multiformats/multiaddr'
import { familyOf } from './port-pool.ts'
import type { Endpoint } from './port-pool.ts'
import type { Multiaddr } from '@multiformats/multiaddr'

/**
 * The multiaddr of an endpoint, with its zone if it has one
 */
export function toMultiaddr ({ host, port }: Endpoint): Multiaddr {
  const [ip, zone] = host.split('%')
  const prefix = zone == null ? '' : `/ip6zone/${zone}`

  return multiaddr(`${prefix}/ip${familyOf(ip)}/${ip}/tcp/${port}`)
}
