/**
 * A process that uses the transport and closes everything again, so that it should end.
 *
 * - `program.ts transport`: the raw transport
 * - `program.ts nodes`: whole nodes
 */

import { createTransport } from '../kit/transport.ts'
import { startNode } from './node.ts'

if (process.argv[2] === 'transport') {
  const { connect, listen, stop } = createTransport()
  const { port } = await listen('/ip4/127.0.0.1/tcp/0')
  await connect(`/ip4/127.0.0.1/tcp/${port}`)
  await stop()
} else {
  const nodes = [await startNode(), await startNode()]
  await nodes[0].dial(nodes[1].getMultiaddrs())
  await Promise.all(nodes.map(async node => node.stop()))
}

process.stdout.write('done\n')
