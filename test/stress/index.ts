/**
 * Wears the transport out, on loopback, with every participant in a process of
 * its own. Each part prints what it counted; the exit code is 1 if a count is off.
 *
 * - `npm run test:stress`: all parts
 * - `npm run test:stress -- cycles live`: these parts
 * - `npm run test:stress -- --seed 42`: the choices of an earlier run
 */

import { parseArgs } from 'node:util'
import { choose, parseCount, parseOrExit } from '../kit/arguments.ts'
import { cycles } from './cycles.ts'
import { hostile } from './hostile.ts'
import { live } from './live.ts'
import { slowLoris } from './slow-loris.ts'
import { createStage } from './stage.ts'
import { onTrouble } from './troubles.ts'
import type { Stage } from './stage.ts'

const PARTS: Record<string, (stage: Stage) => Promise<void>> = { cycles, live, hostile, 'slow-loris': slowLoris }

/**
 * In ms. The processes of the parts end when this one does
 */
const LIFETIME = 10 * 60_000

const { names, seed } = parseOrExit(() => {
  const { values, positionals } = parseArgs({
    options: { seed: { type: 'string', default: `${1 + Date.now() % 1_000_000}` } },
    allowPositionals: true
  })

  return { names: choose(positionals, Object.keys(PARTS)), seed: parseCount('--seed', values.seed) }
})

process.once('SIGINT', () => { process.exit(130) })
setTimeout(() => {
  process.stderr.write(`Not done after ${LIFETIME / 1000} s\n`)
  process.exit(1)
}, LIFETIME).unref()

const off: string[] = []
onTrouble(trouble => { off.push(`the main process: ${trouble}`) })

process.stdout.write(`Node ${process.version}, seed ${seed}\n`)

for (const name of names) {
  const stage = createStage(name, seed)

  try {
    await PARTS[name](stage)
  } catch (err: any) {
    stage.expect(false, `it failed: ${err.stack}`)
  }

  off.push(...(await stage.end()).map(complaint => `${name}: ${complaint}`))
}

process.stdout.write(off.length === 0 ? 'All counts are as expected\n' : off.map(complaint => `OFF  ${complaint}\n`).join(''))
process.exitCode = off.length === 0 ? 0 : 1
