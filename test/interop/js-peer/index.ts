/**
 * See ../README.md
 */

import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { runCommand } from './commands.ts'
import { startNode } from './node.ts'

const { values } = parseArgs({
  options: {
    listen: { type: 'string', multiple: true, default: [] },
    security: { type: 'string', default: 'noise' },
    seed: { type: 'string' },
    'relay-server': { type: 'boolean', default: false }
  }
})

const commands = createInterface({ input: process.stdin })
commands.on('close', () => { process.exit() })

const node = await startNode({
  listen: values.listen,
  security: values.security,
  seed: values.seed == null ? undefined : Number(values.seed),
  relayServer: values['relay-server']
})

commands.on('line', line => { void runCommand(node, values.security, line) })
