/**
 * Two nodes that are connected over a relay connect directly, from and to the ports
 * that they listen on (DCUtR). There is no NAT here: `npm run demo:nat` builds some. DCUtR dials
 * only public addresses. On Linux, this command gives one to the loopback interface, in a
 * network namespace of its own:
 *
 * - `unshare -rn sh -c "ip link set lo up && ip address add 11.0.0.1 dev lo && node examples/hole-punching.ts"`
 */

import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { pEvent } from 'p-event'
// outside of this repository: from 'libp2p-reuseport-tcp/dcutr'
import { dcutr } from '../src/dcutr/service.ts'
// outside of this repository: from 'libp2p-reuseport-tcp'
import { reuseportTcp } from '../src/index.ts'
import type { Connection, Libp2p } from '@libp2p/interface'
import type { Libp2pOptions } from 'libp2p'

const IP = '/ip4/11.0.0.1'

async function startNode (services: Libp2pOptions['services'], ...listen: string[]): Promise<Libp2p> {
  return createLibp2p({
    addresses: { listen },
    transports: [reuseportTcp(), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify(), ...services }
  })
}

const relay = await startNode({ relay: circuitRelayServer() }, `${IP}/tcp/4001`)
const overRelay = `${IP}/tcp/4001/p2p/${relay.peerId}/p2p-circuit`
const [a, b] = await Promise.all([4002, 4003].map(async port => startNode({ dcutr: dcutr() }, `${IP}/tcp/${port}`, overRelay)))
const isDirect = ({ detail: { remoteAddr, remotePeer } }: CustomEvent<Connection>): boolean => !`${remoteAddr}`.includes('/p2p-circuit') && !remotePeer.equals(relay.peerId)
const direct = Promise.all([a, b].map(async node => pEvent<'connection:open', CustomEvent<Connection>>(node, 'connection:open', { filter: isDirect, timeout: 10_000 })))
process.stdout.write(`a listens on ${IP}/tcp/4002\nb listens on ${IP}/tcp/4003\n`)

const relayed = await a.dial(multiaddr(`${overRelay}/p2p/${b.peerId}`))
const closed = pEvent(relayed, 'close')
process.stdout.write(`relayed, a to b: ${relayed.remoteAddr}\n`)

const [toB, toA] = await direct
process.stdout.write(`direct, a to b: ${toB.detail.remoteAddr}\ndirect, b to a: ${toA.detail.remoteAddr}\n`)

await closed
process.stdout.write('the relayed connection is closed\n')

await Promise.all([a, b, relay].map(async node => node.stop()))
