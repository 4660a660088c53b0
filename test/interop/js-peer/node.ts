import { autoNAT } from '@libp2p/autonat'
import { autoNATv2 } from '@libp2p/autonat-v2'
import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { generateKeyPair, generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { dcutr as libp2pDcutr } from '@libp2p/dcutr'
import { identify } from '@libp2p/identify'
import { FaultTolerance } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import { CODE_P2P } from '@multiformats/multiaddr'
import { dcutr } from '../../../src/dcutr/service.ts'
import { reuseportTcp } from '../../../src/index.ts'
import { isRelayed } from '../../kit/addresses.ts'
import { serveEcho } from '../../kit/echo.ts'
import { startNode } from '../../kit/node.ts'
import { inPrivateNetwork } from '../../kit/private-network.ts'
import { now, tell } from './events.ts'
import type { Dcutr } from '../../../src/dcutr/service.ts'
import type { Connection, ConnectionEncrypter, Libp2p, Transport } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { ServiceFactoryMap } from 'libp2p'

const TRANSPORTS: Record<string, typeof tcp> = { 'libp2p-reuseport-tcp': reuseportTcp, '@libp2p/tcp': tcp }

const AUTONATS: Record<string, ServiceFactoryMap> = {
  v2: { autonat: autoNATv2() },
  v1: { autonat: autoNAT() },
  none: {}
}

export interface NodeInit {
  listen: string[]
  transport: string
  security: string
  seed?: number
  psk?: number
  announce: string[]
  autonat: string
  relayServer: boolean
}

export type Node = Libp2p<{ listening: Listening, dcutr: Dcutr | object }>

interface Listening {
  on(ma: Multiaddr): Promise<void>

  /** All of them. The node itself says only those that it would announce */
  addresses(): Multiaddr[]
}

export async function startPeer ({ listen, transport, security, seed, psk, announce, autonat, relayServer }: NodeInit): Promise<Node> {
  const node = await startNode({
    ...(psk == null ? {} : inPrivateNetwork(psk)),
    start: false,
    privateKey: seed == null ? await generateKeyPair('Ed25519') : await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(seed)),
    addresses: { listen, appendAnnounce: announce },
    // on a network that loses frames the relay may not answer at the start
    transportManager: { faultTolerance: FaultTolerance.NO_FATAL },
    transports: [transportOf(transport), circuitRelayTransport()],
    connectionEncrypters: [components => noteTimes(encrypterOf(security)(components))],
    // so a relay transfers nothing while the peers do nothing
    streamMuxers: [yamux({ enableKeepAlive: false })],
    services: {
      identify: identify(),
      ping: ping(),
      // only services get at the transport manager
      listening: ({ transportManager }): Listening => ({
        on: async ma => transportManager.listen([ma]),
        addresses: () => transportManager.getAddrs()
      }),
      // ours needs port reuse
      dcutr: transport === '@libp2p/tcp' ? libp2pDcutr() : dcutr(),
      ...AUTONATS[autonat],
      ...(relayServer ? { relay: circuitRelayServer({ reservations: { maxReservations: Infinity, applyDefaultLimit: false } }) } : {})
    }
  }) as unknown as Node

  node.addEventListener('connection:open', ({ detail }) => {
    tell({ event: 'connected', ...describe(detail) })
    tellExchanges(detail)
  })
  node.addEventListener('connection:close', ({ detail }) => { tell({ event: 'disconnected', ...describe(detail) }) })
  node.addEventListener('peer:identify', ({ detail: { peerId, observedAddr, connection } }) => {
    tell({ event: 'observed', peer: peerId.toString(), address: observedAddr?.decapsulateCode(CODE_P2P).toString(), relayed: isRelayed(connection) })
  })

  ifOurs(node)?.addEventListener('hole-punch:attempt', ({ detail: { peer } }) => {
    tell({ event: 'hole-punch', state: 'begun', peer: `${peer}` })
  })
  ifOurs(node)?.addEventListener('hole-punch:end', ({ detail: { peer, result } }) => {
    tell({ event: 'hole-punch', peer: `${peer}`, ...(result.kind === 'failed' ? { state: 'failed', error: `${result.why}: ${result.message}` } : { state: 'succeeded' }) })
  })

  await serveEcho(node)
  await node.start()
  tell({ event: 'ready', peer: node.peerId.toString() })

  for (const ma of node.services.listening.addresses()) {
    tell({ event: 'listening', address: ma.toString() })
  }

  return node
}

/** The hole punching service, if it is this package's */
export function ifOurs ({ services: { dcutr } }: Node): Dcutr | undefined {
  return 'candidates' in dcutr ? dcutr : undefined
}

/** @throws {Error} if there is none of that name */
export function transportOf (name: string): (components: any) => Transport {
  const create = TRANSPORTS[name]

  if (create == null) {
    throw new Error(`--transport is one of ${Object.keys(TRANSPORTS).join(', ')}, not ${name}`)
  }

  return create()
}

export function encrypterOf (security: string): (components: any) => ConnectionEncrypter {
  return security === 'tls' ? tls() : noise()
}

/** The timeline of a connection then also tells when its handshake began and ended, on a dialer */
function noteTimes (encrypter: ConnectionEncrypter): ConnectionEncrypter {
  const secureOutbound = encrypter.secureOutbound.bind(encrypter)

  encrypter.secureOutbound = async (connection, options) => {
    const begun = now()
    const secured = await secureOutbound(connection, options)
    Object.assign(connection.timeline, { handshake: [begun, now()] })

    return secured
  }

  return encrypter
}

/**
 * Tells when this end has opened a stream for the exchange of addresses, and when it has the first
 * answer. Not by a middleware for streams: with one, libp2p 3.3 runs the handler of a protocol once
 * more for each stream (docs/upstream.md)
 */
function tellExchanges (connection: Connection): void {
  const newStream = connection.newStream.bind(connection)
  const peer = connection.remotePeer.toString()

  connection.newStream = async (...args) => {
    const stream = await newStream(...args)

    if (stream.protocol === '/libp2p/dcutr') {
      tell({ event: 'exchange', state: 'opened', peer })
      stream.addEventListener('message', () => { tell({ event: 'exchange', state: 'answered', peer }) }, { once: true })
    }

    return stream
  }
}

function describe (connection: Connection): Record<string, unknown> {
  const { remoteAddr, remotePeer, direction, timeline } = connection
  const relayed = isRelayed(connection)

  return { peer: remotePeer.toString(), direction, remote: `${relayed ? remoteAddr : remoteAddr.decapsulateCode(CODE_P2P)}`, relayed, timeline }
}
