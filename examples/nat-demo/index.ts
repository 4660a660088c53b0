/**
 * Two nodes behind NATs punch a hole, and print each step. Linux and root only.
 *
 * - `npm run demo:nat`
 */

import { setTimeout as delay } from 'node:timers/promises'
import { createLab } from '../../test/lab/lab.ts'
import { requireLab } from '../../test/lab/requirements.ts'
import { storyteller } from './tell.ts'
import type { DemoNode } from './node.ts'
import type { Lab } from '../../test/lab/lab.ts'
import type { Relay } from '../../test/nat/relay.ts'

/** How long a packet takes from one machine to another, in ms */
const LATENCY = 20

/** How often the network is checked for crossing SYNs, in ms */
const LOOK_INTERVAL = 5

await requireLab()

const start = Date.now()
const tell = storyteller('', start)
const lab = createLab({ latency: LATENCY })
// all processes of the lab end with this process
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
  const relay = relayHost.start<Relay>(new URL('../../test/nat/relay.ts', import.meta.url), 'limited', '/ip4/11.0.0.1/tcp/4001')
  const [relayAddress] = await relay.ask('addresses')
  tell('a relay listens on 11.0.0.1')

  const hostA = await lab.hostBehind('port-restricted', 11)
  tell('A is 10.0.11.2, behind a NAT that is 11.0.0.11')
  const hostB = await lab.hostBehind('port-restricted', 12)
  tell('B is 10.0.12.2, behind a NAT that is 11.0.0.12')
  tell(`from each of these three to another it takes ${LATENCY} ms. The NATs drop what nobody inside asked for`)

  const node = new URL('./node.ts', import.meta.url)
  const a = hostA.start<DemoNode>(node, 'A', `${start}`, relayAddress, '/ip4/0.0.0.0/tcp/4001')
  const b = hostB.start<DemoNode>(node, 'B', `${start}`, relayAddress, '/ip4/0.0.0.0/tcp/4001', `${relayAddress}/p2p-circuit`)

  await a.ask('dial', relayAddress)
  const addressOfB = await b.ask('relayedAddress')
  tell('now A dials B over the relay')
  const over = new AbortController()
  const looking = lookForSyns(lab, over.signal)

  try {
    await a.ask('dial', addressOfB)
    const before = await a.ask('relayedRoundTrip')
    const after = await a.ask('directRoundTrip')
    tell(`a round trip takes ${after} ms. Over the relay it took ${before} ms`)
  } finally {
    over.abort()
    await looking
  }
}

/** Prints a line when two SYNs cross */
async function lookForSyns (lab: Lab, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    if (await lab.simultaneousOpens() > 0) {
      tell('the SYN of A and the SYN of B cross. Each NAT takes the other one for an answer, and lets it in')
      return
    }

    await delay(LOOK_INTERVAL)
  }
}
