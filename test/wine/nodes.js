/**
 * Run by Node for Windows: two nodes talk over noise and yamux, from TCP to TCP and from
 * named pipe to named pipe. Prints as JSON what was seen
 */

import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { reuseportTcp } from 'libp2p-reuseport-tcp'

const TIMEOUT = 10_000
const PIPE = '/unix/libp2p-reuseport-tcp'

const tcp = await startNode('/ip4/127.0.0.1/tcp/0')
const pipe = await startNode(PIPE)

process.stdout.write(JSON.stringify({
  platform: process.platform,
  tcp: await talk(tcp.getMultiaddrs()[0]),
  pipe: await talk(multiaddr(`${PIPE}/p2p/${pipe.peerId}`)),
  'pipe, at the address that is announced': await talk(pipe.getMultiaddrs()[0])
}))
process.exit()

/**
 * @param {string[]} listen
 */
async function startNode (...listen) {
  return createLibp2p({
    addresses: { listen },
    transports: [reuseportTcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify(), ping: ping() }
  })
}

/**
 * Dials with a new node
 *
 * @param {import('@multiformats/multiaddr').Multiaddr} address
 * @returns {Promise<string>} how they talk, or why not
 */
async function talk (address) {
  const node = await startNode('/ip4/127.0.0.1/tcp/0')
  const signal = AbortSignal.timeout(TIMEOUT)

  return node.dial(address, { signal }).then(async ({ encryption, multiplexer }) => {
    await node.services.ping.ping(address, { signal })

    return `${encryption}, ${multiplexer}`
  }, err => err.message)
}
