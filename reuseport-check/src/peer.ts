/**
 * A peer on this machine, as a process of its own. It is an ordinary `@libp2p/tcp` node that
 * listens on the multiaddr in its argument. It sends its address to its parent process, and
 * ends when the parent ends.
 */

import { tcp } from '@libp2p/tcp'
import { startNode } from './node.ts'

process.once('disconnect', () => { process.exit() })

const node = await startNode({ transport: tcp(), listen: [process.argv[2]] })

process.send?.(node.getMultiaddrs()[0].toString())
