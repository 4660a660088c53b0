/**
 * The metrics of the transport, as Prometheus gets them over HTTP.
 *
 * - `node examples/metrics.ts`
 */

import { once } from 'node:events'
import http from 'node:http'
import { noise } from '@libp2p/noise'
import { prometheusMetrics } from '@libp2p/prometheus-metrics'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { Registry } from 'prom-client'
// outside of this repository: from 'libp2p-reuseport-tcp'
import { reuseportTcp } from '../src/index.ts'
import type { AddressInfo } from 'node:net'

const stack = {
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [reuseportTcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()]
}
const registry = new Registry()
const node = await createLibp2p({ ...stack, metrics: prometheusMetrics({ registry }) })
const peer = await createLibp2p({ ...stack })
const server = http.createServer((_, response) => {
  registry.metrics().then(text => response.setHeader('content-type', registry.contentType).end(text), err => response.destroy(err))
})
await once(server.listen(0, '127.0.0.1'), 'listening')

await node.dial(peer.getMultiaddrs())
await node.dial(peer.getMultiaddrs(), { force: true })
await peer.dial(node.getMultiaddrs(), { force: true })

const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
const lines = (await response.text()).split('\n')

process.stdout.write(lines.filter(line => /^libp2p_(reuseport_)?tcp_/.test(line)).join('\n').concat('\n'))

await Promise.all([node.stop(), peer.stop()])
server.close()
