import net from 'node:net'
import type { PortReuse } from './port-reuse.ts'
import type { Endpoint } from '../endpoint.ts'
import type { Server } from 'node:net'

/**
 * No dial can come from a listening port
 *
 * @param reason - why that is so
 */
export function noReuse (reason: string): PortReuse {
  return {
    support: { available: false, why: reason },

    listen (server, local, { backlog }) {
      listenAsUsual(server, local, backlog)

      return undefined
    },

    connect (listening) {
      throw new Error(`Can not dial from ${listening.host}:${listening.port}: ${reason}`)
    }
  }
}

/**
 * Listens as any server does; in a worker of `node:cluster` it shares the socket with the
 * other workers
 */
export function listenAsUsual (server: Server, { host, port }: Endpoint, backlog: number): void {
  server.listen({ host, port, backlog, ipv6Only: net.isIPv6(host) })
}
