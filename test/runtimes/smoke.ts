/**
 * The program that runs in each runtime. Prints one line of JSON, a {@link Report}.
 *
 * - `smoke.ts transport PEERS HOST…`: the raw transport. `PEERS` is the URL of the
 * peers, see peers.ts
 * - `smoke.ts nodes`: whole nodes
 */

import { setTimeout } from 'node:timers'
import { troublesOf } from '../stress/troubles.ts'
import { tryNodes } from './nodes.ts'
import { errors, outcomes } from './steps.ts'
import { tryTransport } from './transport.ts'
import type { Outcomes } from './outcomes.ts'

export interface Report {
  version: string
  outcomes: Outcomes

  /**
   * What went wrong, in full
   */
  errors: string[]
}

/**
 * How long this process may live, in ms, whatever becomes of its parent. The
 * parent waits a little longer
 */
const LIFETIME = 12_000

const [, , part, peers, ...hosts] = process.argv
let reported = false

setTimeout(() => {
  report()
  process.exit(1)
}, LIFETIME).unref()

troublesOf(process, trouble => {
  errors.push(trouble)
  process.exitCode = 1
})

if (part === 'transport') {
  for (const host of hosts) {
    await tryTransport(host, peers)
  }
} else {
  await tryNodes()
}

report()

function report (): void {
  if (!reported) {
    const { bun, deno, node } = process.versions
    const report: Report = { version: bun ?? deno ?? node, outcomes, errors }

    reported = true
    process.stdout.write(`${JSON.stringify(report)}\n`)
  }
}
