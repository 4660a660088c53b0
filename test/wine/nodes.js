/**
 * Run by Node for Windows: two nodes talk over noise and yamux. Prints as JSON what was seen
 */

import { once } from 'node:events'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { portReuse, reuseportTcp } from 'libp2p-reuseport-tcp'
import { winsock } from 'libp2p-reuseport-tcp/winsock'

const TIMEOUT = 10_000
const PIPE = '/unix/libp2p-reuseport-tcp'

/** All nodes have the result of one trial */
const findPortReuse = winsock()

const pipe = await startNode(PIPE)

process.stdout.write(JSON.stringify({
  platform: process.platform,
  talks: {
    'from 0.0.0.0': await talk('/ip4/0.0.0.0/tcp/0', await startNode('/ip4/127.0.0.1/tcp/0')),
    'from 127.0.0.1': await talk('/ip4/127.0.0.1/tcp/0', await startNode('/ip4/127.0.0.1/tcp/0')),
    'from ::': await talk('/ip6/::/tcp/0', await startNode('/ip6/::1/tcp/0')),
    'by a pipe': await talk('/ip4/127.0.0.1/tcp/0', pipe, multiaddr(`${PIPE}/p2p/${pipe.peerId}`)),
    'by a pipe, at the address that is announced': await talk('/ip4/127.0.0.1/tcp/0', pipe)
  },
  support: pipe.services.portReuse.support()
}))
process.exit()

/**
 * @param {string[]} listen
 */
async function startNode (...listen) {
  return createLibp2p({
    addresses: { listen },
    transports: [reuseportTcp({ portReuse: findPortReuse })],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify(), ping: ping(), portReuse: portReuse() }
  })
}

/**
 * Dials with a new node
 *
 * @param {string} listen - where that node listens
 * @param {import('libp2p').Libp2p} peer
 * @param {import('@multiformats/multiaddr').Multiaddr} address
 * @returns {Promise<string>} how they talk and from which port, or why not
 */
async function talk (listen, peer, address = peer.getMultiaddrs()[0]) {
  const node = await startNode(listen)
  const signal = AbortSignal.timeout(TIMEOUT)
  const opened = once(peer, 'connection:open', { signal })

  return node.dial(address, { signal }).then(async ({ encryption, multiplexer }) => {
    await node.services.ping.ping(address, { signal })
    const [{ detail: { remoteAddr } }] = await opened
    const [, port] = /\/tcp\/(\d+)/.exec(remoteAddr) ?? []
    const isListening = node.getMultiaddrs().some(own => `${own}`.includes(`/tcp/${port}/`))
    const from = isListening ? ', listening port' : ', another port'

    return `${encryption}, ${multiplexer}${port == null ? '' : from}`
  }, err => err.message)
}
