/**
 * Nodes of this package with nodes of go-libp2p and rust-libp2p, in the lab of test/lab: what two
 * nodes of this package agree on may be wrong all the same. Linux and root only; needs `go` and
 * `cargo`.
 *
 * - `npm run test:interop`
 * - `npm run test:interop -- dialing`, or `mutual-dials`, `reconnects`,
 * `hole-punching`: this part only
 * - `--with go`: not with Rust
 * - `--ours go`: go-libp2p in the place of this package, to see what theirs do among
 * themselves
 * - `--rounds 10 --runs 3`: fewer connections, fewer hole punches of each kind
 * - `hole-punching --drop first-syn-to-relay`, or another name in `DROPS`: only hole
 * punches with these frames lost
 */

import { parseArgs } from 'node:util'
import { choose, parseCount, parseOrExit } from '../kit/arguments.ts'
import { print } from '../kit/print.ts'
import { end, requireLab } from '../lab/requirements.ts'
import { DROPS } from '../nat/scenes.ts'
import { testDialing } from './dialing.ts'
import { testHolePunching } from './hole-punching.ts'
import { IMPLEMENTATIONS, build } from './implementations.ts'
import { testMutualDials } from './mutual-dials.ts'
import { testReconnects } from './reconnects.ts'
import type { Cell } from './cell.ts'
import type { Implementation } from './implementations.ts'

const PARTS: Record<string, (ours: Implementation, theirs: Implementation) => AsyncGenerator<Cell>> = {
  dialing: (ours, theirs) => testDialing(ours, theirs, rounds),
  'mutual-dials': (ours, theirs) => testMutualDials(ours, theirs, Math.min(rounds, 20)),
  reconnects: (ours, theirs) => testReconnects(ours, theirs, rounds),
  'hole-punching': (ours, theirs) => testHolePunching(ours, theirs, all, runs, drops)
}

/** Of the counts */
const WIDTH = 9

const { parts, ours, others, rounds, runs, drops } = parseOrExit(() => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      ours: { type: 'string', default: 'js' },
      with: { type: 'string', multiple: true, default: ['go', 'rust'] },
      rounds: { type: 'string', default: '50' },
      runs: { type: 'string', default: '10' },
      drop: { type: 'string', multiple: true }
    }
  })
  const known = Object.keys(IMPLEMENTATIONS) as Implementation[]

  const parts = choose(positionals, Object.keys(PARTS))

  if (values.drop != null && !parts.includes('hole-punching')) {
    throw new Error('--drop is for hole-punching')
  }

  return {
    parts,
    ours: choose([values.ours], known)[0],
    others: choose(values.with, known),
    rounds: parseCount('--rounds', values.rounds),
    runs: parseCount('--runs', values.runs),
    drops: values.drop == null ? [] : choose(values.drop, Object.keys(DROPS))
  }
})
const all = [...new Set([ours, ...others])]

await requireLab()
print('Building the peers. The first time this takes minutes')

for (const implementation of all) {
  await build(implementation).catch((err: Error) => { end([err.message]) })
}

const failures: string[] = []

for (const theirs of others) {
  for (const name of parts) {
    print('', `${ours} with ${theirs}: ${name}`)

    for await (const { what, succeeded, of, errors, remarks } of PARTS[name](ours, theirs)) {
      print(`${`${succeeded} of ${of}`.padStart(WIDTH)}  ${[what, ...remarks].join('; ')}`)

      if (succeeded < of) {
        failures.push(`Failed with ${theirs}, ${what}: ${[...new Set(errors)].join('; ')}`)
      }
    }
  }
}

end(failures)
