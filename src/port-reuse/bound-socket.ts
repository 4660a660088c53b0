import net from 'node:net'
import type { Bind } from './bind.ts'

/**
 * Binds with `net.BoundSocket`, the public API of Node 24.21 and later. `undefined` if Node
 * does not have it
 */
export function findBoundSocket (): Bind | undefined {
  if (net.BoundSocket == null) {
    return
  }

  return ({ host, port }, { reusePort }) => {
    const handle = new net.BoundSocket({ host, port, reusePort, ipv6Only: net.isIPv6(host) })

    return {
      local: { host, port: handle.address().port },
      toSocket: options => new net.Socket({ ...options, handle }),
      listen: (server, backlog) => { server.listen(handle, backlog) },
      close: () => { handle.close() }
    }
  }
}
