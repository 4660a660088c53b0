import net from 'node:net'
import { familyOf, isWildcard } from '../endpoint.ts'
import { bindReally } from './bind.ts'
import { ownAddresses } from './route.ts'
import type { Bind } from './bind.ts'
import type { ListenOptions, Strategy } from './port-reuse.ts'
import type { Endpoint } from '../endpoint.ts'

/**
 * Port reuse by SO_REUSEPORT, as on Linux (socket(7)): sockets of the same user may be bound
 * to one endpoint if all of them set it. So the listener sets it, and each dial binds to the
 * listening endpoint itself.
 *
 * @throws {Error} if that does not work here
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
 * A second socket must be able to bind to a port that is listened on. Two
 * sockets that are merely bound prove nothing: SO_REUSEADDR, which libuv always
 * sets, allows that.
 *
 * The wildcard can be bound in any case. 127.0.0.1 can't while the loopback interface is down,
 * early at boot for instance, and a listener that starts then without SO_REUSEPORT could never
 * be dialed from
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
 * SO_REUSEPORT would let us in beside another process of the same user, a bind without it
 * is refused. It is refused beside ourselves as well: where we listen on some of the
 * wildcard's addresses, the others are tried one by one
 *
 * @throws {Error} EADDRINUSE if somebody else listens there
 */
function assertFree (bind: Bind, { host, port }: Endpoint, { isOurs }: ListenOptions): void {
  const hosts = isWildcard(host) && isOurs({ host, port }) ? ownAddresses(familyOf(host)) : [host]

  for (const host of hosts.filter(host => !isOurs({ host, port }))) {
    try {
      bind({ host, port }, { reusePort: false }).close()
    } catch (err: any) {
      // nobody listens on an address that is gone, or on an IPv6 one that is still tentative
      if (err.code !== 'EADDRNOTAVAIL') {
        throw err
      }
    }
  }
}
