/** See ../README.md */

import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { runCommand } from './commands.ts'
import { startPeer } from './node.ts'

const { values } = parseArgs({
  options: {
    listen: { type: 'string', multiple: true, default: [] },
    transport: { type: 'string', default: 'libp2p-reuseport-tcp' },
    security: { type: 'string', default: 'noise' },
    seed: { type: 'string' },
    psk: { type: 'string' },
    announce: { type: 'string', multiple: true, default: [] },
    autonat: { type: 'string', default: 'none' },
    'relay-server': { type: 'boolean', default: false }
  }
})

const commands = createInterface({ input: process.stdin })
commands.on('close', () => { process.exit() })

const node = await startPeer({
  ...values,
  seed: values.seed == null ? undefined : Number(values.seed),
  psk: values.psk == null ? undefined : Number(values.psk),
  relayServer: values['relay-server']
})

commands.on('line', line => { void runCommand(node, line) })
