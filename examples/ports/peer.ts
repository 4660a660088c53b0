/**
 * A peer, as a process of its own. It listens on the multiaddrs that are its
 * arguments. Its first message to the parent is where it listens; each further
 * one is a connection that it got. Peers need not know about port reuse: this
 * one is an ordinary `@libp2p/tcp` node.
 */

import { tcp } from '@libp2p/tcp'
import { startNode } from './node.ts'

export type ListeningMessage = string[]

export interface ConnectionMessage {
  from: string
  remoteAddr: string
}

// however the parent ended, it leaves no peer behind
process.once('disconnect', exit)

const node = await startNode(tcp(), process.argv.slice(2))

node.addEventListener('connection:open', ({ detail: { remotePeer, remoteAddr } }) => {
  tellParent({ from: remotePeer.toString(), remoteAddr: remoteAddr.toString() })
})

tellParent(node.getMultiaddrs().map(ma => ma.toString()))

function tellParent (message: ListeningMessage | ConnectionMessage): void {
  process.send?.(message, undefined, undefined, err => {
    if (err != null) {
      exit()
    }
  })
}

function exit (): void {
  process.exit()
}
