/**
 * A peer on this machine, as a process of its own: an ordinary `@libp2p/tcp` node that
 * listens on the multiaddr that is its argument. It tells its parent its address, and
 * ends with it.
 */

import { tcp } from '@libp2p/tcp'
import { startNode } from './node.ts'

process.once('disconnect', () => { process.exit() })

const node = await startNode({ transport: tcp(), listen: [process.argv[2]] })

process.send?.(node.getMultiaddrs()[0].toString())
