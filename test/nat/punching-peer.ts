/**
 * A libp2p node that punches holes, to be run in a machine of the lab. It has one
 * partner: the first peer that it is connected to over a relay.
 *
 * - `punching-peer.ts STACK ANNOUNCE LISTEN...`: what it is made of, a multiaddr that it has
 * others believe to be dialable, or nothing, and the multiaddrs to listen on
 */

import { randomBytes } from 'node:crypto'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { dcutr as libp2pDcutr } from '@libp2p/dcutr'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { isPrivate } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { Circuit } from '@multiformats/multiaddr-matcher'
import pDefer from 'p-defer'
import { pEvent } from 'p-event'
import { dcutr } from '../../src/dcutr/service.ts'
import { reuseportTcp } from '../../src/index.ts'
import { isRelayed, relayedAddress } from '../kit/addresses.ts'
import { echo, roundTrip, serveEcho } from '../kit/echo.ts'
import { startNode } from '../kit/node.ts'
import { inPrivateNetwork } from '../kit/private-network.ts'
import { serve } from '../kit/serve.ts'
import { until } from '../kit/wait.ts'
import { watchLog } from '../kit/watch-log.ts'
import type { NatMapping } from '../../src/index.ts'
import type { Connection } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

/**
 * How long a dial may take, in ms. With frames that take 300 ms one over a relay takes ten
 * seconds
 */
const TIMEOUT = 30_000

/**
 * How long a round trip over the relay may take, in ms, if the connection is not closed
 */
const ROUND_TRIP_TIMEOUT = 10_000

/**
 * How long the relayed connection may stay open beside the direct one, in ms
 */
const CLOSE_TIMEOUT = 3_000

const stacks = {
  'this package': { transport: reuseportTcp, dcutr, network: {} },
  'private network': { transport: reuseportTcp, dcutr, network: inPrivateNetwork(1) },
  'stock libp2p': { transport: tcp, dcutr: libp2pDcutr, network: {} }
}

interface Opened {
  connection: Connection
  at: number
}

export type StackName = keyof typeof stacks

const [stack, announce, ...listen] = process.argv.slice(2)
const { transport: createTransport, dcutr: createDcutr, network } = stacks[stack as StackName]
const relayed = pDefer<Opened>()
const direct = pDefer<Opened>()
const gaveUp = pDefer<void>()
const lost = pDefer<void>()
const failedAttempts: string[] = []

const node = await startNode({
  ...network,
  logger: watchLog('libp2p:dcutr', (format, [attempt, retries, err]) => {
    if (!format.startsWith('error while attempting DCUtR')) {
      return
    }

    failedAttempts.push(err.message)

    if (attempt === retries) {
      gaveUp.resolve()
    }
  }),
  addresses: { listen, appendAnnounce: announce === '' ? [] : [announce] },
  transports: [createTransport(), circuitRelayTransport()],
  // a relay that has nothing to do should have nothing to count either
  streamMuxers: [yamux({ enableKeepAlive: false })],
  services: { identify: identify(), ping: ping(), dcutr: createDcutr() }
})

node.addEventListener('connection:open', ({ detail: connection }) => {
  const opened = { connection, at: Date.now() }

  if (isRelayed(connection)) {
    relayed.resolve(opened)
  } else {
    relayed.promise.then(({ connection: { remotePeer } }) => {
      if (connection.remotePeer.equals(remotePeer)) {
        direct.resolve(opened)
      }
    }, () => {})
  }
})

node.addEventListener('connection:close', ({ detail: { remotePeer } }) => {
  relayed.promise.then(({ connection: { remotePeer: partner } }) => {
    if (partner.equals(remotePeer) && node.getConnections(partner).length === 0) {
      lost.resolve()
    }
  }, () => {})
})

await serveEcho(node)

const peer = {
  /**
   * Connects to peers that tell at which address they see this node, and waits
   * until they have
   *
   * @returns how the NAT maps it, if this stack can tell
   */
  async askObservers (addresses: string[]): Promise<NatMapping[]> {
    const signal = AbortSignal.timeout(TIMEOUT)

    await Promise.all(addresses.map(async address => {
      const connection = await node.dial(multiaddr(address), { signal })
      await pEvent<'peer:identify', any>(node, 'peer:identify', {
        filter: ({ detail }) => detail.connection === connection,
        signal
      })
    }))

    const service: any = node.services.dcutr

    return 'natMappings' in service ? Object.values(service.natMappings()) : []
  },

  /**
   * The address at which others dial this node over the relay
   */
  async relayedAddress (): Promise<string> {
    return relayedAddress(node, TIMEOUT)
  },

  /**
   * @returns when it was connected, in ms
   */
  async dialRelayed (address: string): Promise<number> {
    await node.dial(multiaddr(address), { signal: AbortSignal.timeout(TIMEOUT) })

    return (await relayed.promise).at
  },

  /**
   * Returns when there is a direct connection, or none of the attempts succeeded, or the
   * relayed connection is lost without a direct one
   */
  async outcome (): Promise<'direct' | 'relayed' | 'lost'> {
    return Promise.race([
      lost.promise.then(() => 'lost' as const),
      direct.promise.then(() => 'direct' as const),
      gaveUp.promise.then(() => 'relayed' as const)
    ])
  },

  /**
   * Why the attempts failed, if this node is the one that makes them
   */
  async failedAttempts (): Promise<string[]> {
    return failedAttempts
  },

  /**
   * How many public addresses it offers to its partner
   */
  async candidates (): Promise<number> {
    const service: any = node.services.dcutr

    return 'candidates' in service ? service.candidates().filter((ma: Multiaddr) => !Circuit.matches(ma) && !isPrivate(ma)).length : 0
  },

  /**
   * @returns when it was connected, in ms
   */
  async directSince (): Promise<number> {
    return (await direct.promise).at
  },

  /**
   * Returns nothing if the relayed connection was closed meanwhile
   */
  async relayedRoundTrip (): Promise<number | undefined> {
    return roundTrip((await relayed.promise).connection, AbortSignal.timeout(ROUND_TRIP_TIMEOUT)).catch(() => undefined)
  },

  async directRoundTrip (): Promise<number> {
    return roundTrip((await direct.promise).connection, AbortSignal.timeout(TIMEOUT))
  },

  /**
   * @throws {Error} if it is not what was sent
   */
  async echo (length: number): Promise<void> {
    await echo((await direct.promise).connection, randomBytes(length), AbortSignal.timeout(TIMEOUT))
  },

  /**
   * How many connections to the partner there are, when those that were to be
   * closed have had the time
   */
  async connections (): Promise<{ direct: number, relayed: number }> {
    const { remotePeer } = (await relayed.promise).connection
    await until(() => node.getConnections(remotePeer).length === 1, CLOSE_TIMEOUT).catch(() => {})
    const connections = node.getConnections(remotePeer)

    return {
      direct: connections.filter(connection => !isRelayed(connection)).length,
      relayed: connections.filter(isRelayed).length
    }
  }
}

export type PunchingPeer = typeof peer

serve(peer)
