import net from 'node:net'
import type { PortReuse } from './port-reuse.ts'
import type { Endpoint } from '../endpoint.ts'
import type { Server } from 'node:net'

/**
 * The strategy of a machine where no dial can come from a listening port
 *
 * @param reason - why ports can't be reused
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
 * Listens as any server does. In a worker of `node:cluster` the server shares the socket with
 * the other workers
 */
export function listenAsUsual (server: Server, { host, port }: Endpoint, backlog: number): void {
  server.listen({ host, port, backlog, ipv6Only: net.isIPv6(host) })
}
