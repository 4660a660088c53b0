/**
 * A libp2p node, to be run in a machine of the lab. It knows one other peer at
 * most
 */

import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { reuseportTcp } from '../../src/index.ts'
import { serve } from './script.ts'

/**
 * In ms
 */
const TIMEOUT = 10_000

// of /proc/net/tcp
const TIME_WAIT = '06'
const LISTEN = '0A'

const transports = { reuseportTcp, '@libp2p/tcp': tcp }

export type TransportName = keyof typeof transports
export type Peer = Awaited<ReturnType<typeof startPeer>>

// eslint-disable-next-line @typescript-eslint/explicit-function-return-type
async function startPeer (transport: string, listen: string) {
  let dialing = false

  const node = await createLibp2p({
    addresses: { listen: [listen] },
    transports: [transports[transport as TransportName]()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    // a ping must not hide that its connection was lost by opening another one
    connectionGater: { denyDialPeer: () => !dialing },
    // by default, the sixth inbound connection within a second is dropped
    connectionManager: { inboundConnectionThreshold: Infinity },
    // its pings would be in the way of ours: only one may be under way
    connectionMonitor: { enabled: false },
    services: { identify: identify(), ping: ping() }
  })

  return {
    async id (): Promise<string> {
      return node.peerId.toString()
    },

    /**
     * Dials at the instant given, and returns how many ms it took
     */
    async dial (address: string, at: number): Promise<number> {
      const target = multiaddr(address)
      await delay(at - Date.now())
      dialing = true

      try {
        await node.dial(target, { signal: AbortSignal.timeout(TIMEOUT) })

        return Date.now() - at
      } finally {
        dialing = false
      }
    },

    /**
     * Returns the round-trip time in ms
     */
    async ping (): Promise<number> {
      const [other] = node.getPeers()

      if (other == null) {
        throw new Error('Not connected')
      }

      return node.services.ping.ping(other, { signal: AbortSignal.timeout(TIMEOUT) })
    },

    /**
     * Returns when the kernel has closed all connections, too
     */
    async hangUp (): Promise<void> {
      const end = Date.now() + TIMEOUT
      await Promise.all(node.getConnections().map(async connection => connection.close()))

      while (node.getConnections().length > 0 || await openSockets() > 0) {
        if (Date.now() > end) {
          throw new Error('There still is a connection')
        }

        await delay(10)
      }
    }
  }
}

/**
 * How many TCP connections this machine has
 */
async function openSockets (): Promise<number> {
  const tables = await Promise.all(['/proc/net/tcp', '/proc/net/tcp6'].map(async table => readFile(table, 'utf-8')))
  const states = tables.flatMap(table => table.trim().split('\n').slice(1)).map(line => line.trim().split(/\s+/)[3])

  return states.filter(state => state !== LISTEN && state !== TIME_WAIT).length
}

await serve(startPeer)
