import net from 'node:net'
import type { PortReuse } from './strategy.ts'

/**
 * Listens as any server does. No dial can come from its port
 *
 * @param reason - why that is so
 */
export function noReuse (reason: string): PortReuse {
  return {
    name: 'none',
    unavailable: reason,

    listen (server, { host, port }, { backlog }) {
      server.listen({ host, port, backlog, ipv6Only: net.isIPv6(host) })

      return undefined
    },

    connect (listening) {
      throw new Error(`Can not dial from ${listening.host}:${listening.port}: ${reason}`)
    }
  }
}
