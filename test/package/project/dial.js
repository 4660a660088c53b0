/**
 * A node dials another one. Prints the port that the first one listens on and the port
 * that the other one saw
 */

import { noise } from '@libp2p/noise'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { reuseportTcp } from 'libp2p-reuseport-tcp'

const [node, peer] = await Promise.all([startNode(), startNode()])
const seen = new Promise(resolve => {
  peer.addEventListener('connection:open', ({ detail }) => { resolve(portOf(detail.remoteAddr)) }, { once: true })
})

await node.dial(peer.getMultiaddrs(), { signal: AbortSignal.timeout(5_000) })
process.stdout.write(JSON.stringify({ listening: portOf(node.getMultiaddrs()[0]), seen: await seen }))
await Promise.all([node.stop(), peer.stop()])

async function startNode () {
  return createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [reuseportTcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()]
  })
}

/**
 * @param {import('@multiformats/multiaddr').Multiaddr} ma
 */
function portOf (ma) {
  return Number(ma.getComponents().find(({ name }) => name === 'tcp')?.value)
}
