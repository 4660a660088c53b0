import { identify } from '@libp2p/identify'
import { defaultLogger } from '@libp2p/logger'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { getNetConfig } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { reuseportTcp } from '../src/index.ts'
import { rawUpgrader } from '../test/fixtures/transport.ts'
import type { TransportName } from './row.ts'
import type { Libp2p, MultiaddrConnection, Transport } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

const UPGRADER = rawUpgrader()

export function createTransport (name: TransportName): Transport {
  const components = { logger: defaultLogger() }

  return name === 'ours' ? reuseportTcp()(components) : tcp()(components)
}

/**
 * Listens on loopback, with an upgrader that does nothing
 *
 * @returns the port
 */
export async function listen (transport: Transport, onConnection?: (connection: MultiaddrConnection) => void): Promise<number> {
  const listener = transport.createListener({ upgrader: rawUpgrader(onConnection) })
  await listener.listen(multiaddr('/ip4/127.0.0.1/tcp/0'))

  return portOf(listener.getAddrs()[0])
}

/**
 * A whole node that listens on loopback, without the limits that are meant to
 * keep such crowds out
 */
export async function startNode (name: TransportName): Promise<Libp2p> {
  return createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [name === 'ours' ? reuseportTcp() : tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: {
      inboundConnectionThreshold: Infinity,
      maxIncomingPendingConnections: Infinity
    },
    services: { identify: identify() }
  })
}

/**
 * The raw connection, by way of an upgrader that does nothing
 */
export async function dial (transport: Transport, ma: Multiaddr): Promise<MultiaddrConnection> {
  const connection: unknown = await transport.dial(ma, { upgrader: UPGRADER, signal: new AbortController().signal })

  return connection as MultiaddrConnection
}

export function portOf (ma: Multiaddr): number {
  return Number(getNetConfig(ma).port)
}
