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
 * Port reuse on kernels with BSD's bind rules (macOS). There libuv refuses to set SO_REUSEPORT,
 * and sets SO_REUSEADDR on every socket. A bind fails only if another socket that is not
 * connected has exactly the same address and port (xnu's `in_pcbbind` and `in_pcblookup_local`,
 * bsd/netinet/in_pcb.c; the same for IPv6 in bsd/netinet6/in6_pcb.c). So a dial binds to the
 * listening port at another address than the listener's:
 *
 * - If the listener is on the wildcard, the dial binds to the address that the kernel would use
 * as source.
 * - If the listener is on an address, the dial binds to the wildcard. The kernel then uses the
 * source address of the route. This is the listener's address: `chooseSources` has chosen the
 * listener for this reason.
 *
 * If there are listeners on both, the dial can bind to neither.
 *
 * @throws {Error} if ports can't be reused in this way on this machine
 */
export function otherAddress (bind: Bind): Strategy {
  assertSharesPort(bind)

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

    connect: connectFromOtherAddress(bind)
  }
}

/** Dials from the port of a listening endpoint, bound to another address */
export function connectFromOtherAddress (bind: Bind): Strategy['connect'] {
  function dial (host: string, port: number, destination: Endpoint, options: SocketConstructorOpts): Socket {
    return connectAtOnce(bind({ host, port }, { reusePort: false }).toSocket(options), destination)
  }

  return ({ host, port }, destination, options) => {
    if (isLoopback(destination.host)) {
      return dial(isWildcard(host) ? destination.host : wildcardOf(host), port, destination, options)
    }

    return isWildcard(host)
      ? routeSource(destination).then(source => dial(source ?? host, port, destination, options))
      : dial(wildcardOf(host), port, destination, options)
  }
}

function wildcardOf (host: string): string {
  return familyOf(host) === 6 ? '::' : '0.0.0.0'
}

/**
 * Checks that a listening port can be bound at the wildcard, and again for a second dial while
 * the first one connects or is connected. Windows allows only one
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
 * Calls connect(2) before it returns. A `net.Socket` that has a TCP handle and is given an IP
 * address calls connect(2) only on the next tick. Until then its socket is bound and not
 * connected. Such a socket makes the bind of the next dial fail, and gets the SYNs that others
 * send to the listener. If the `net.Socket` is given a name, it calls connect(2) as soon as the
 * lookup answers. This lookup answers at once
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
