import cluster from 'node:cluster'
import net from 'node:net'
import type { Endpoint } from '../endpoint.ts'

/**
 * The primary process of `node:cluster` does not know a server that listens on a bound socket.
 * It does not emit `listening` for the server, and does not close it. The functions here do
 * this. They have no effect outside of a cluster's workers.
 */

const onDisconnect = new Set<() => void>()

/**
 * Calls back when this worker disconnects from the primary. Worker or primary may have asked for
 * this
 *
 * @returns a function that removes the callback
 */
export function whenDisconnected (callback: () => void): () => void {
  if (onDisconnect.size === 0) {
    // one event listener for all callbacks: with many, Node would warn of a leak
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
 * Tells the primary that this worker listens, so that the primary emits `listening`. PM2, for
 * example, waits for this event when it reloads.
 *
 * There is no public API for this. Node's own servers send this message (Node's
 * `lib/internal/cluster/child.js` and `primary.js`). It was seen to work with Node 22, 24 and 26.
 * A primary that does not know the message ignores it, and everything else works without it.
 */
export function tellListening ({ host, port }: Endpoint): void {
  if (cluster.worker?.isConnected() === true) {
    const message = { cmd: 'NODE_CLUSTER', act: 'listening', addressType: net.isIPv6(host) ? 6 : 4, address: host, port }

    // without a callback, a channel that closes at this moment would cause an uncaught error
    process.send?.(message, undefined, undefined, () => {})
  }
}
