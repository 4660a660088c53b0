import cluster from 'node:cluster'
import net from 'node:net'
import type { Endpoint } from '../endpoint.ts'

/**
 * The primary process of `node:cluster` does not know a server that listens on a bound
 * socket: it does not emit `listening` for it, and does not close it. The functions here
 * make up for that, and have no effect outside of a cluster's workers.
 */

const onDisconnect = new Set<() => void>()

/**
 * Calls back when this worker disconnects from the primary, whichever of the two asked for it
 *
 * @returns a function that ends this
 */
export function whenDisconnected (callback: () => void): () => void {
  if (onDisconnect.size === 0) {
    // one for all listeners, or Node warns of a leak when there are many
    cluster.worker?.on('disconnect', callBackAll)
  }

  onDisconnect.add(callback)

  return () => {
    onDisconnect.delete(callback)

    if (onDisconnect.size === 0) {
      cluster.worker?.off('disconnect', callBackAll)
    }
  }
}

function callBackAll (): void {
  onDisconnect.forEach(callback => { callback() })
}

/**
 * Tells the primary that this worker listens, so that it emits `listening`. PM2, for
 * example, waits for that event when it reloads.
 *
 * There is no public API for it. This is the message that Node's own servers send (Node's
 * `lib/internal/cluster/child.js` and `primary.js`); it was seen to work with Node 22, 24 and
 * 26. A primary that does not know it ignores it, and all else works without it.
 */
export function tellListening ({ host, port }: Endpoint): void {
  if (cluster.worker?.isConnected() === true) {
    const message = { cmd: 'NODE_CLUSTER', act: 'listening', addressType: net.isIPv6(host) ? 6 : 4, address: host, port }

    // without a callback, a channel that closes at this moment would be an uncaught error
    process.send?.(message, undefined, undefined, () => {})
  }
}
