/**
 * Shows which port a dial comes from, as the dialed peer sees it.
 *
 * - `npm start`: peers on this machine; this transport next to `@libp2p/tcp`
 * - `npm start -- /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…`: the peers that you name
 */

import { ask } from './ask.ts'
import { compare } from './compare.ts'

const addresses = process.argv.slice(2)

// an orderly exit ends the peer processes too
process.once('SIGINT', () => { process.exit(130) })

try {
  if (addresses.length === 0) {
    await compare()
  } else if (!await ask(addresses)) {
    process.exitCode = 1
  }
} catch (err: any) {
  process.stderr.write(`${err.message}\n`)
  // what was started before the error may still run
  process.exit(1)
}
