import net from 'node:net'
import { familyOf, isLoopback, isWildcard } from '../endpoint.ts'
import { bindReally } from './bind.ts'
import { listenAsUsual } from './no-reuse.ts'
import { routeSource } from './route.ts'
import type { Bind } from './bind.ts'
import type { Strategy } from './port-reuse.ts'
import type { Endpoint } from '../endpoint.ts'
import type { Socket, SocketConstructorOpts } from 'node:net'

/**
 * Port reuse on kernels with BSD's bind rules (macOS), where libuv refuses to set
 * SO_REUSEPORT and sets SO_REUSEADDR on every socket. A bind fails there only if another
 * socket that is not connected has the very same address and port (xnu's `in_pcbbind` and
 * `in_pcblookup_local`, bsd/netinet/in_pcb.c; the same for IPv6 in bsd/netinet6/in6_pcb.c).
 * So a dial binds to the listening port at another address than the listener's:
 *
 * - the listener is on the wildcard: at the address that the kernel would use as source
 * - the listener is on an address: at the wildcard. The kernel takes the source of the route,
 * which is that address, as `chooseSources` has chosen it for that
 *
 * With a listener on both, neither can be bound.
 *
 * @throws {Error} if that does not work here
 */
export function otherAddress (bind: Bind): Strategy {
  assertSharesPort(bind)

  function dial (host: string, port: number, destination: Endpoint, options: SocketConstructorOpts): Socket {
    return connectAtOnce(bind({ host, port }, { reusePort: false }).toSocket(options), destination)
  }

  return {
    listen (server, local, { backlog, sharePort }) {
      if (sharePort) {
        listenAsUsual(server, local, backlog)

        return undefined
      }

      const bound = bind(local, { reusePort: false })
      bound.listen(server, backlog)

      return bound.local
    },

    connect ({ host, port }, destination, options) {
      if (isLoopback(destination.host)) {
        return dial(isWildcard(host) ? destination.host : wildcardOf(host), port, destination, options)
      }

      return isWildcard(host)
        ? routeSource(destination).then(source => dial(source ?? host, port, destination, options))
        : dial(wildcardOf(host), port, destination, options)
    }
  }
}

function wildcardOf (host: string): string {
  return familyOf(host) === 6 ? '::' : '0.0.0.0'
}

/**
 * A port that is listened on at one address must be free at the wildcard, for a second dial
 * as well while the first one is connected or about to be: Windows would allow one only
 */
function assertSharesPort (bind: Bind): void {
  const listener = net.createServer()
  const peer = net.createServer()
  const listening = bind({ host: '127.0.0.1', port: 0 }, { reusePort: false })
  listening.listen(listener)

  try {
    const { local: destination, listen } = bind({ host: '127.0.0.1', port: 0 }, { reusePort: false })
    listen(peer)

    const wildcard = { host: '0.0.0.0', port: listening.local.port }
    const dialed = connectAtOnce(bindReally(bind, wildcard, { reusePort: false }).toSocket({}), destination)
    dialed.on('error', () => {})

    try {
      bindReally(bind, wildcard, { reusePort: false }).close()
    } finally {
      dialed.destroy()
    }
  } finally {
    listener.close()
    peer.close()
  }
}

/**
 * Given an IP address, a `net.Socket` that has a TCP handle calls connect(2) on the next tick.
 * Until then, a socket that is bound and not connected would be in the way of the next dial,
 * and take the place of the listener for the SYNs of others. Given a name, it connects as soon
 * as the lookup answers
 */
function connectAtOnce (socket: Socket, { host, port }: Endpoint): Socket {
  const family = familyOf(host)

  return socket.connect({
    host: 'destination',
    port,
    family,
    lookup: (name, options, callback) => { callback(null, host, family) }
  })
}
