import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { reuseportTcp } from '../../src/index.ts'
import type { Identify } from '@libp2p/identify'
import type { Libp2p } from '@libp2p/interface'
import type { Ping } from '@libp2p/ping'

export type Node = Libp2p<{ identify: Identify, ping: Ping }>

/**
 * A libp2p node that listens on a port which the kernel chooses
 */
export async function startNode (): Promise<Node> {
  return createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [reuseportTcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: {
      // by hand, when the answer is looked at
      identify: identify({ runOnConnectionOpen: false }),
      ping: ping()
    }
  })
}
