/**
 * Two nodes behind NATs punch a hole, and tell how. Linux and root only.
 *
 * - `npm run demo:nat`
 */

import { setTimeout as delay } from 'node:timers/promises'
import { createLab } from '../../test/nat/lab.ts'
import { whatIsMissing } from '../../test/nat/requirements.ts'
import { print } from '../ports/print.ts'
import { storyteller } from './tell.ts'
import type { DemoNode } from './node.ts'
import type { Lab } from '../../test/nat/lab.ts'
import type { Relay } from '../../test/nat/relay.ts'

/**
 * How long a packet is under way between any two of them, in ms
 */
const LATENCY = 20

/**
 * How often to look at the wire, in ms
 */
const LOOK_INTERVAL = 5

const missing = await whatIsMissing()

if (missing.length > 0) {
  print('The lab can not be built here:', ...missing.map(what => `- ${what}`))
  process.exit(1)
}

const start = Date.now()
const tell = storyteller('', start)
const lab = createLab({ latency: LATENCY })
// whatever it was started with ends with this process
process.once('SIGINT', () => { process.exit(130) })

try {
  await play()
} finally {
  await lab.stop()
}

tell('all of it is gone again')
process.exit()

async function play (): Promise<void> {
  const relayHost = await lab.host('11.0.0.1/24')
  const relay = await relayHost.start<Relay>(new URL('../../test/nat/relay.ts', import.meta.url), 'limited', '/ip4/11.0.0.1/tcp/4001')
  const [relayAddress] = await relay.call('addresses')
  tell('a relay listens on 11.0.0.1')

  const hostA = await lab.hostBehind('port-restricted', 11)
  tell('A is 10.0.11.2, behind a NAT that is 11.0.0.11')
  const hostB = await lab.hostBehind('port-restricted', 12)
  tell('B is 10.0.12.2, behind a NAT that is 11.0.0.12')
  tell(`from each of these three to another it takes ${LATENCY} ms. The NATs drop what nobody inside asked for`)

  const node = new URL('./node.ts', import.meta.url)
  const [a, b] = await Promise.all([
    hostA.start<DemoNode>(node, 'A', `${start}`, relayAddress, '/ip4/0.0.0.0/tcp/4001'),
    hostB.start<DemoNode>(node, 'B', `${start}`, relayAddress, '/ip4/0.0.0.0/tcp/4001', `${relayAddress}/p2p-circuit`)
  ])

  await a.call('dial', relayAddress)
  tell('now A dials B over the relay')
  const over = new AbortController()
  const looking = lookForSyns(lab, over.signal)

  try {
    await a.call('dial', await b.call('relayedAddress'))
    const before = await a.call('relayedRoundTrip')
    const after = await a.call('directRoundTrip')
    tell(`a round trip takes ${after} ms. Over the relay it took ${before} ms`)
  } finally {
    over.abort()
    await looking
  }
}

/**
 * Tells when SYNs cross
 */
async function lookForSyns (lab: Lab, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    if (await lab.simultaneousOpens() > 0) {
      tell('the SYN of A and the SYN of B cross. Each NAT takes the other one for an answer, and lets it in')
      return
    }

    await delay(LOOK_INTERVAL)
  }
}
