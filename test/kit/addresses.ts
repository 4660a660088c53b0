import { multiaddr } from '@multiformats/multiaddr'
import { Circuit } from '@multiformats/multiaddr-matcher'
import { until } from './wait.ts'
import type { Connection, Libp2p, Listener } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

/** The TCP port in an address, or of a listener; 0 if there is none */
export function portOf (where: string | Multiaddr | Listener | undefined): number {
  const address = typeof where === 'object' && 'getAddrs' in where ? where.getAddrs()[0] : where

  return Number(multiaddr(address).getComponents().find(({ name }) => name === 'tcp')?.value ?? 0)
}

export function isRelayed ({ remoteAddr }: Connection): boolean {
  return Circuit.matches(remoteAddr)
}

/**
 * The address at which others dial this node over a relay, or over this one
 *
 * @throws {Error} if it has none within `timeout` ms
 */
export async function relayedAddress (node: Pick<Libp2p<any>, 'getMultiaddrs'>, timeout: number, relay = ''): Promise<string> {
  const find = (): string | undefined => node.getMultiaddrs().map(ma => ma.toString()).find(ma => ma.includes(`${relay}/p2p-circuit`))
  await until(() => find() != null, timeout)

  return `${find()}`
}
