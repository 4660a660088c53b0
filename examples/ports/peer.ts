/**
 * A peer, as a process of its own. It listens on the multiaddrs that are its
 * arguments and tells its parent who connects, and from where. Peers need not
 * know about port reuse: this one is an ordinary `@libp2p/tcp` node.
 */

import { tcp } from '@libp2p/tcp'
import { startNode } from './node.ts'

export type PeerMessage =
  { type: 'listening', addresses: string[] } |
  { type: 'connection', from: string, remoteAddr: string }

// however the parent ended, it does not leave a peer behind
process.once('disconnect', () => { process.exit() })

const node = await startNode(tcp(), process.argv.slice(2))

node.addEventListener('connection:open', ({ detail: { remotePeer, remoteAddr } }) => {
  tell({ type: 'connection', from: remotePeer.toString(), remoteAddr: remoteAddr.toString() })
})

tell({ type: 'listening', addresses: node.getMultiaddrs().map(ma => ma.toString()) })

function tell (message: PeerMessage): void {
  process.send?.(message)
}
