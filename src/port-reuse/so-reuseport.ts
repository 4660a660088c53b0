import net from 'node:net'
import { familyOf, isWildcard } from '../endpoint.ts'
import { bindReally } from './bind.ts'
import { ownAddresses } from './route.ts'
import type { Bind } from './bind.ts'
import type { ListenOptions, Strategy } from './port-reuse.ts'
import type { Endpoint } from '../endpoint.ts'

/**
 * Port reuse with SO_REUSEPORT, as on Linux (socket(7)). Sockets of the same user may be bound
 * to one endpoint if all of them set this option. So the listener sets it. Each dial sets it,
 * too, and binds to the listening endpoint itself.
 *
 * @throws {Error} if ports can't be reused in this way on this machine
 */
export function soReuseport (bind: Bind): Strategy {
  assertReusesPort(bind)

  return {
    listen (server, local, options) {
      if (local.port !== 0 && !options.sharePort) {
        assertFree(bind, local, options)
      }

      const bound = bind(local, { reusePort: true })
      bound.listen(server, options.backlog)

      return bound.local
    },

    connect (listening, destination, options) {
      return bind(listening, { reusePort: true }).toSocket(options).connect(destination)
    }
  }
}

/**
 * Checks that a second socket can be bound to a listening port. One of the sockets must listen:
 * two sockets that are only bound prove nothing, because SO_REUSEADDR, which libuv always sets,
 * allows this.
 *
 * The check uses the wildcard, which can always be bound. 127.0.0.1 can't be bound while the
 * loopback interface is down, for instance early at boot. A listener that starts then would
 * start without SO_REUSEPORT and could never be dialed from
 */
function assertReusesPort (bind: Bind): void {
  const server = net.createServer()
  const listening = bind({ host: '0.0.0.0', port: 0 }, { reusePort: true })
  listening.listen(server)

  try {
    bindReally(bind, listening.local, { reusePort: true }).close()
  } finally {
    server.close()
  }
}

/**
 * With SO_REUSEPORT a bind succeeds even if another process of this user listens. So first bind
 * without it. That also fails on addresses where this transport itself listens; those addresses
 * are skipped. If some of the wildcard's addresses are skipped, the others are tried one by one
 *
 * @throws {Error} EADDRINUSE if another process listens on the endpoint
 */
function assertFree (bind: Bind, { host, port }: Endpoint, { isOurs }: ListenOptions): void {
  const hosts = isWildcard(host) && isOurs({ host, port }) ? ownAddresses(familyOf(host)) : [host]

  for (const host of hosts.filter(host => !isOurs({ host, port }))) {
    try {
      bind({ host, port }, { reusePort: false }).close()
    } catch (err: any) {
      // nobody can listen on a removed address, or on an IPv6 address that is still tentative
      if (err.code !== 'EADDRNOTAVAIL') {
        throw err
      }
    }
  }
}
