/**
 * Wears the transport out, on loopback: thousands of connections, and peers that misbehave. No
 * spec makes so many that what is left of each shows. The process that is looked at has nothing
 * else in it. Each part prints what it counted; the exit code is 1 if a count is off.
 *
 * - `npm run test:stress`: all parts
 * - `npm run test:stress -- cycles`: one of them
 */

import { choose, parseOrExit } from '../kit/arguments.ts'
import { print } from '../kit/print.ts'
import { cycles } from './cycles.ts'
import { hostile } from './hostile.ts'
import { live } from './live.ts'
import { slowLoris } from './slow-loris.ts'

const PARTS: Record<string, () => Promise<string[]>> = { cycles, live, hostile, 'slow-loris': slowLoris }
const names = parseOrExit(() => choose(process.argv.slice(2), Object.keys(PARTS)))

process.once('SIGINT', () => { process.exit(130) })

for (const name of names) {
  const start = performance.now()
  const lines = await PARTS[name]()
  print(...[...lines, `ok, ${((performance.now() - start) / 1000).toFixed(1)} s`].map(line => `${name.padEnd(10)} ${line}`))
}

process.exit()
