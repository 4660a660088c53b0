/**
 * One dial from an ephemeral port, one from the port that is listened on.
 *
 * - `node examples/ephemeral-port.ts`
 */

import { noise } from '@libp2p/noise'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { pEvent } from 'p-event'
// outside of this repository: from 'libp2p-reuseport-tcp'
import { reuseportTcp } from '../src/index.ts'
import type { ConnectOptions } from '../src/index.ts'
import type { Connection } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

type Dial = (ma: Multiaddr, options: Pick<ConnectOptions, 'reusePort' | 'signal'>) => Promise<Connection>

const stack = {
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [reuseportTcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()]
}
const node = await createLibp2p<{ dial: Dial }>({
  ...stack,
  services: {
    // node.dial does not pass a transport's options on. The transport manager does
    dial: ({ transportManager }) => async (ma, options) => transportManager.dial(ma, options)
  }
})
const peer = await createLibp2p({ ...stack })

process.stdout.write(`listening on ${node.getMultiaddrs()[0]}\n`)

for (const reusePort of [false, true]) {
  const opened = pEvent<'connection:open', CustomEvent<Connection>>(peer, 'connection:open')
  await node.services.dial(peer.getMultiaddrs()[0], { reusePort, signal: AbortSignal.timeout(5_000) })
  process.stdout.write(`reusePort: ${reusePort}, the peer saw ${(await opened).detail.remoteAddr}\n`)
}

await node.stop()
await peer.stop()
