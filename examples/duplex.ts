/**
 * A connection without libp2p's upgrader, for `it-pipe`. It works with any TCP server.
 *
 * - `node examples/duplex.ts`
 */

import { once } from 'node:events'
import net from 'node:net'
import { defaultLogger } from '@libp2p/logger'
import { multiaddr } from '@multiformats/multiaddr'
import { pipe } from 'it-pipe'
// outside of this repository: from 'libp2p-reuseport-tcp'
import { reuseportTcp, toDuplex } from '../src/index.ts'
import type { AddressInfo } from 'node:net'

async function * shout (source: AsyncIterable<Buffer>): AsyncGenerator<string> {
  for await (const data of source) {
    yield `${data}`.toUpperCase()
  }
}

// allowHalfOpen: the server answers after the client has sent its last byte
const server = net.createServer({ allowHalfOpen: true }, socket => {
  pipe(socket, shout, async source => {
    for await (const data of source) {
      socket.write(data)
    }

    socket.end()
  }).catch(err => { socket.destroy(err) })
})
await once(server.listen(0, '127.0.0.1'), 'listening')
const { port } = server.address() as AddressInfo

const transport = reuseportTcp()({ logger: defaultLogger() })
const connection = await transport.connect(multiaddr(`/ip4/127.0.0.1/tcp/${port}`))

await pipe(
  ['hello ', 'there'].map(text => new TextEncoder().encode(text)),
  toDuplex(connection),
  async source => {
    for await (const data of source) {
      process.stdout.write(`${data.byteLength} bytes: ${new TextDecoder().decode(data.subarray())}\n`)
    }
  }
)

server.close()
