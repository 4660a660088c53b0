/**
 * Two Helia nodes: B gets 20 MB from A. Prints how many bytes were equal, the TCP port that B
 * listens on, and the port that A saw. It runs beside `helia.js`, the program in `docs/helia.md`
 */

import { randomBytes } from 'node:crypto'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { sha256 } from 'multiformats/hashes/sha2'

// each has a Helia of its own
const [{ helia: a }, { helia: b }] = await Promise.all(['a', 'b'].map(async name => import(`./helia.js?${name}`)))
const opened = Promise.withResolvers()
a.libp2p.addEventListener('connection:open', opened.resolve)
await b.libp2p.dial(a.libp2p.getMultiaddrs().filter(isTcp))
const { detail: { remoteAddr } } = await opened.promise
let equal = 0

for (let i = 0; i < 20; i++) {
  const bytes = randomBytes(1_000_000)
  const cid = CID.createV1(raw.code, await sha256.digest(bytes))
  await a.blockstore.put(cid, bytes)

  for await (const got of b.blockstore.get(cid, { signal: AbortSignal.timeout(20_000) })) {
    equal += bytes.equals(got) ? got.byteLength : 0
  }
}

process.stdout.write(JSON.stringify({ equal, listening: portOf(b.libp2p.getMultiaddrs().find(isTcp)), seen: portOf(remoteAddr) }))
process.exit()

/**
 * @param {import('@multiformats/multiaddr').Multiaddr} ma
 */
function isTcp (ma) {
  return /^\/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\/\w+$/.test(ma.toString())
}

/**
 * @param {import('@multiformats/multiaddr').Multiaddr} ma
 */
function portOf (ma) {
  return Number(ma.getComponents().find(({ name }) => name === 'tcp')?.value)
}
