import dgram from 'node:dgram'
import { once } from 'node:events'
import os from 'node:os'
import { isLinkLocalIp } from '@libp2p/utils'
import { familyOf } from '../endpoint.ts'
import type { Endpoint, Family } from '../endpoint.ts'

/**
 * The local address that the kernel would use as source for packets to
 * `destination`, or `undefined` if it has no route there.
 *
 * When a UDP socket is connected, the kernel looks up the route. Nothing is sent on the socket.
 */
export async function routeSource (destination: Endpoint): Promise<string | undefined> {
  const socket = dgram.createSocket(familyOf(destination.host) === 6 ? 'udp6' : 'udp4')

  try {
    socket.connect(destination.port, destination.host)
    await once(socket, 'connect')

    return socket.address().address
  } catch {
    // no route, or no descriptor left: the dial itself will fail with the same error
  } finally {
    socket.close()
  }
}

/**
 * Is `host` an address that libp2p announces for a listener on the wildcard? These are the
 * addresses that libuv lists. Addresses of interfaces without carrier and of AnyIP routes are
 * not among them
 */
export function isOwnAddress (host: string): boolean {
  const [address] = host.split('%')

  return Object.values(listInterfaces()).flat().some(own => own?.address === address)
}

/**
 * The addresses of this host's network interfaces, in the form that can be bound to: link-local
 * addresses have their zone. libuv does not list the addresses of interfaces without carrier
 * and of AnyIP routes
 */
export function ownAddresses (family: Family): string[] {
  return Object.entries(listInterfaces()).flatMap(([name, addresses = []]) => addresses
    .filter(({ address }) => familyOf(address) === family)
    .map(({ address }) => family === 6 && isLinkLocalIp(address) ? `${address}%${name}` : address))
}

function listInterfaces (): ReturnType<typeof os.networkInterfaces> {
  try {
    return os.networkInterfaces()
  } catch {
    // no descriptor is left. The caller needs one for its sockets, too, and fails with this error
    return {}
  }
}
