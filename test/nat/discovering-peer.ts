/**
 * A libp2p node that is to learn its public address, to be run in a machine of the
 * lab.
 *
 * - `discovering-peer.ts TRANSPORT AUTONAT LISTEN`
 */

import { setTimeout as delay } from 'node:timers/promises'
import { autoNAT } from '@libp2p/autonat'
import { autoNATv2 } from '@libp2p/autonat-v2'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { isPrivate } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { pEvent } from 'p-event'
import { reuseportTcp } from '../../src/index.ts'
import { startNode } from '../kit/node.ts'
import { serve } from '../kit/serve.ts'
import { until } from '../kit/wait.ts'
import type { Connection } from '@libp2p/interface'

/**
 * How long a dial may take until the peer has been identified, in ms
 */
const TIMEOUT = 10_000

/**
 * How many peers must have told where they see the node, before it believes them
 */
const OBSERVERS = 4

const transports = { reuseportTcp, '@libp2p/tcp': tcp }
const autonats = {
  v2: { autonat: autoNATv2() },
  v1: { autonat: autoNAT() },
  none: {}
}

export type AutonatName = keyof typeof autonats
export type TransportName = keyof typeof transports

const [transport, autonat, listen] = process.argv.slice(2)
const dialed: Connection[] = []
let observedAt = Infinity

const node = await startNode({
  addresses: { listen: [listen] },
  transports: [transports[transport as TransportName]()],
  services: { identify: identify(), ...autonats[autonat as AutonatName] }
})

const announced = (): string[] => node.getMultiaddrs().filter(ma => !isPrivate(ma)).map(ma => ma.decapsulate('/p2p').toString())

const peer = {
  id: (): string => node.peerId.toString(),

  /**
   * One after the other, as a node meets peers
   */
  async dial (addresses: string[]): Promise<void> {
    for (const address of addresses) {
      const signal = AbortSignal.timeout(TIMEOUT)
      // it may be identified before the dial resolves
      const identified = pEvent<'peer:identify', any>(node, 'peer:identify', {
        filter: ({ detail }) => address.endsWith(`${detail.peerId}`),
        signal
      })
      const [connection] = await Promise.all([node.dial(multiaddr(address), { signal }), identified])

      if (dialed.push(connection) === OBSERVERS) {
        observedAt = Date.now()
      }
    }
  },

  /**
   * The public addresses that are announced, as soon as they are these, after `timeout` ms
   * at most
   *
   * @returns and how long they took since enough peers had told, in ms
   */
  async announced (expected: string[], timeout: number): Promise<{ addresses: string[], after?: number }> {
    return until(() => announced().join() === expected.join(), timeout).then(
      () => ({ addresses: announced(), after: Math.max(0, Date.now() - observedAt) }),
      () => ({ addresses: announced() })
    )
  },

  /**
   * As libp2p does when nobody answers its pings any more
   */
  hangUp (): void {
    dialed.splice(0).forEach(connection => { connection.abort(new Error('The network has changed')) })
  },

  /**
   * How many of those that it dialed are connected still, after so many ms
   */
  async connectionsLeft (after: number): Promise<number> {
    await delay(after)

    return dialed.filter(({ status }) => status === 'open').length
  }
}

export type DiscoveringPeer = typeof peer

serve(peer)
