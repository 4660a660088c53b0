/**
 * A libp2p node that punches holes and prints each step. It runs in a machine of the lab.
 *
 * - `node.ts NAME START RELAY LISTEN...`: its name in the output, the time when the demo
 * started (in ms), the relay's multiaddr, and the multiaddrs to listen on
 */

import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { isLoopback, isPrivate } from '@libp2p/utils'
import { CODE_P2P, multiaddr } from '@multiformats/multiaddr'
import { Circuit } from '@multiformats/multiaddr-matcher'
import pDefer from 'p-defer'
import { dcutr } from '../../src/dcutr/service.ts'
import { reuseportTcp } from '../../src/index.ts'
import { isRelayed, relayedAddress } from '../../test/kit/addresses.ts'
import { roundTrip, serveEcho } from '../../test/kit/echo.ts'
import { startNode } from '../../test/kit/node.ts'
import { serve } from '../../test/kit/serve.ts'
import { storyteller } from './tell.ts'
import type { Connection } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

/** How long each step may take, in ms */
const TIMEOUT = 15_000

const [name, storyStart, relay, ...listen] = process.argv.slice(2)
const tell = storyteller(name, Number(storyStart))
const relayed = pDefer<Connection>()
const direct = pDefer<Connection>()
const relayedClosed = pDefer<void>()

const node = await startNode({
  start: false,
  addresses: { listen },
  transports: [reuseportTcp(), circuitRelayTransport()],
  services: { identify: identify(), dcutr: dcutr() }
})

node.addEventListener('peer:identify', ({ detail: { connection, observedAddr } }) => {
  if (observedAddr != null && isToRelay(connection)) {
    tell(`is observed as ${short([observedAddr])} by the relay`)
  }
})

node.addEventListener('connection:open', ({ detail: connection }) => {
  if (isRelayed(connection)) {
    tell('has a connection over the relay')
    relayed.resolve(connection)
  } else if (!isToRelay(connection)) {
    tell(`has a direct connection to ${short([connection.remoteAddr])}`)
    direct.resolve(connection)
  }
})

node.addEventListener('connection:close', ({ detail: connection }) => {
  if (isRelayed(connection)) {
    tell('has closed the connection over the relay')
    relayedClosed.resolve()
  }
})

node.services.dcutr.addEventListener('hole-punch:attempt', ({ detail: { role, multiaddrs } }) => {
  tell(`has exchanged addresses, was offered ${short(multiaddrs)} and offers ${offered()}`)
  tell(`dials as the ${role}`)
})

node.services.dcutr.addEventListener('hole-punch:end', ({ detail: { attempts, ms, result } }) => {
  tell(`${result.kind === 'succeeded' ? 'has a direct connection' : `has no direct connection (${result.message})`} after ${ms} ms, attempts: ${attempts}`)
})

await serveEcho(node)
await node.start()
tell(`listens on ${short(node.getMultiaddrs().filter(ma => !isLoopback(ma)))}`)

const demoNode = {
  /** The address at which others dial this node over the relay */
  async relayedAddress (): Promise<string> {
    return relayedAddress(node, TIMEOUT)
  },

  async dial (address: string): Promise<void> {
    await node.dial(multiaddr(address), { signal: AbortSignal.timeout(TIMEOUT) })
  },

  async relayedRoundTrip (): Promise<number> {
    return roundTrip(await relayed.promise, AbortSignal.timeout(TIMEOUT))
  },

  /** Waits until there is a direct connection, and no other */
  async directRoundTrip (): Promise<number> {
    await relayedClosed.promise

    return roundTrip(await direct.promise, AbortSignal.timeout(TIMEOUT))
  }
}

export type DemoNode = typeof demoNode

serve(demoNode)

// a peer elsewhere can't use private addresses, and ignores them
function offered (): string {
  return short(node.services.dcutr.candidates().filter(ma => !isPrivate(ma)))
}

function isToRelay ({ remoteAddr }: Connection): boolean {
  return remoteAddr.equals(multiaddr(relay))
}

/** Addresses without the peer id. Relayed addresses are left out */
function short (addresses: readonly Multiaddr[]): string {
  return addresses.filter(ma => !Circuit.matches(ma)).map(ma => ma.decapsulateCode(CODE_P2P).toString()).join(', ')
}
