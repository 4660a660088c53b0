/**
 * A node dials another one from the port that it listens on.
 *
 * - `node examples/minimal.ts`
 */

import { noise } from '@libp2p/noise'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { pEvent } from 'p-event'
// outside of this repository: from 'libp2p-reuseport-tcp'
import { isSourcePort, reuseportTcp } from '../src/index.ts'
import type { Connection, Libp2p } from '@libp2p/interface'

async function startNode (): Promise<Libp2p> {
  return createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [reuseportTcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()]
  })
}

const node = await startNode()
const peer = await startNode()
const opened = pEvent<'connection:open', CustomEvent<Connection>>(peer, 'connection:open')

process.stdout.write(`listening on ${node.getMultiaddrs()[0]}\n`)

await node.dial(peer.getMultiaddrs(), {
  onProgress: event => {
    if (isSourcePort(event)) {
      process.stdout.write(`dialed from  ${event.detail.localAddr}\n`)
    }
  }
})

process.stdout.write(`the peer saw ${(await opened).detail.remoteAddr}\n`)

await node.stop()
await peer.stop()
