import { setTimeout as delay } from 'node:timers/promises'
import { repeat } from './cell.ts'
import { disconnect, withTwoPeers } from './two-peers.ts'
import type { Cell } from './cell.ts'
import type { Implementation } from './implementations.ts'
import type { Peer } from './peer.ts'

/** One way, in ms */
const LATENCY = 5

const MIB = 1024 * 1024

/** Both dial each other, from their listening ports, with noise and with tls */
export async function * testDialing (ours: Implementation, theirs: Implementation, rounds: number): AsyncGenerator<Cell> {
  for (const security of ['noise', 'tls']) {
    yield * await withTwoPeers({ ours, theirs, latency: LATENCY, flags: ['--security', security] }, async ({ ours, theirs }) => [
      await testDials(`${security}: we dial from the listening port, observed as such`, rounds, ours, theirs),
      await testDials(`${security}: they dial from the listening port, observed as such`, rounds, theirs, ours),
      await testEchos(`${security}: echo of 1 MiB, both ways`, ours, theirs)
    ])
  }
}

async function testDials (what: string, rounds: number, dialer: Peer, dialed: Peer): Promise<Cell> {
  return repeat(what, rounds, async () => {
    const marks = [dialer.mark(), dialed.mark()]

    try {
      await dialer.ask('dial', dialed.address)
      // the port is in it
      await dialed.event({ event: 'connected', peer: dialer.id, direction: 'inbound', remote: dialer.endpoint }, marks[1])
      await dialer.event({ event: 'observed', peer: dialed.id, address: dialer.endpoint }, marks[0])
      await dialed.event({ event: 'observed', peer: dialer.id, address: dialed.endpoint }, marks[1])
    } finally {
      await disconnect(dialer, dialed)
      // until the kernels have let go of the 4-tuple. How a dial fares before is
      // another test
      await delay(4 * LATENCY)
    }
  })
}

async function testEchos (what: string, a: Peer, b: Peer): Promise<Cell> {
  await a.ask('dial', b.address)

  return repeat(what, 2, async n => {
    await (n === 0 ? a.ask('echo', b.id, MIB) : b.ask('echo', a.id, MIB))
  })
}
