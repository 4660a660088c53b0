/**
 * Two nodes, A and B, meet at a relay and then connect directly, from and to the ports that they
 * listen on (DCUtR). Each of the three is this program:
 *
 * - `node examples/hole-punching.ts`: the relay. Everybody can reach port 4001 of its host
 * - `node examples/hole-punching.ts RELAY`: B. RELAY is the address that the relay prints
 * - `node examples/hole-punching.ts RELAY B`: A. B is the address that B prints
 *
 * DCUtR dials only public addresses. So all three on one machine, or two in one home, do not get
 * a direct connection. `npm run demo:nat` builds NATs on one machine.
 */

import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
// outside of this repository: from 'libp2p-reuseport-tcp/dcutr'
import { dcutr } from '../src/dcutr/service.ts'
// outside of this repository: from 'libp2p-reuseport-tcp'
import { reuseportTcp } from '../src/index.ts'

const [relay, peer] = process.argv.slice(2)
const isRelay = relay == null

const node = await createLibp2p({
  addresses: { listen: isRelay ? ['/ip4/0.0.0.0/tcp/4001'] : ['/ip4/0.0.0.0/tcp/0', '/p2p-circuit'] },
  transports: [reuseportTcp(), circuitRelayTransport()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: {
    identify: identify(),
    dcutr: dcutr(),
    relay: isRelay ? circuitRelayServer() : () => undefined
  }
})

const print = (...words: unknown[]): void => { process.stdout.write(`${words.join(' ')}\n`) }

print(isRelay ? `can be dialed at /ip4/IP-OF-THIS-HOST/tcp/4001/p2p/${node.peerId}` : `listens on ${node.getMultiaddrs()[0]}`)
node.addEventListener('peer:identify', ({ detail }) => { print('is observed as', detail.observedAddr) })
node.addEventListener('connection:open', ({ detail }) => { print(detail.direction, 'connection opened:', detail.remoteAddr) })
node.services.dcutr.addEventListener('hole-punch:end', ({ detail: { result } }) => {
  print('hole punch', result.kind === 'succeeded' ? `succeeded: ${result.connection.remoteAddr}` : `failed: ${result.why}, ${result.message}`)
})
node.addEventListener('self:peer:update', () => {
  const overRelay = node.getMultiaddrs().find(ma => `${ma}`.includes('/p2p-circuit'))

  if (overRelay != null) {
    print('can be dialed at', overRelay)
  }
})

for (const address of [relay, peer].filter(address => address != null)) {
  await node.dial(multiaddr(address))
}
