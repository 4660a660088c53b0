/**
 * Throws what a browser gets: the error of the transport, and whether `dcutr` is that of
 * `@libp2p/dcutr`
 */

import { dcutr as stock } from '@libp2p/dcutr'
import { defaultLogger } from '@libp2p/logger'
import { reuseportTcp } from 'libp2p-reuseport-tcp'
import { dcutr } from 'libp2p-reuseport-tcp/dcutr'

try {
  reuseportTcp()({ logger: defaultLogger() })
} catch (err) {
  throw new Error(`${err}, ${dcutr === stock}`)
}
