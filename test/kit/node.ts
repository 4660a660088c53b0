import { noise } from '@libp2p/noise'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { reuseportTcp } from '../../src/index.ts'
import { portReuse } from './port-reuse.ts'
import type { Libp2p, ServiceMap } from '@libp2p/interface'
import type { Libp2pOptions } from 'libp2p'

/**
 * A whole node that listens on loopback, if nothing else is asked for. It does not have the
 * limits that are meant to keep crowds out
 */
export async function startNode <T extends ServiceMap> (options: Libp2pOptions<T> = {}): Promise<Libp2p<T>> {
  return createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [reuseportTcp({ portReuse })],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    ...options,
    connectionManager: {
      inboundConnectionThreshold: Infinity,
      maxIncomingPendingConnections: Infinity,
      maxConnections: Infinity,
      ...options.connectionManager
    }
  })
}
