import { repeat } from './cell.ts'
import { withTwoPeers } from './two-peers.ts'
import type { Cell } from './cell.ts'
import type { Implementation } from './implementations.ts'
import type { TwoPeers } from './two-peers.ts'

/** One way, in ms */
const LATENCY = 5

/** What ends a connection. When it returns, it has gone for our side */
const ENDS: Record<string, (peers: TwoPeers) => Promise<void>> = {
  'we closed': async ({ ours, theirs }) => { await ours.ask('close', theirs.id) },
  'we aborted': async ({ ours, theirs }) => { await ours.ask('abort', theirs.id) },
  'we were killed': async peers => {
    await peers.ours.kill()
    await peers.restart('ours')
  },
  'they closed': async peers => endByThem(peers, 'close'),
  'they aborted': async peers => endByThem(peers, 'abort'),
  'they were killed': async peers => {
    const since = peers.ours.mark()
    await peers.theirs.kill()
    await peers.restart('theirs')
    const { ours, theirs } = peers
    await ours.event({ event: 'disconnected', peer: theirs.id }, since)
  }
}

/**
 * We dial again from the listening port, right after the end of the connection
 * before
 */
export async function * testReconnects (ours: Implementation, theirs: Implementation, rounds: number): AsyncGenerator<Cell> {
  for (const [what, end] of Object.entries(ENDS)) {
    yield withTwoPeers({ ours, theirs, latency: LATENCY }, async peers => {
      await connect(peers)

      return repeat(`dial from the listening port again after ${what}`, rounds, async () => {
        await end(peers)
        await connect(peers)
      })
    })
  }
}

async function connect ({ ours, theirs }: TwoPeers): Promise<void> {
  const since = theirs.mark()

  await ours.ask('dial', theirs.address)
  await theirs.event({ event: 'connected', peer: ours.id, direction: 'inbound', remote: ours.endpoint }, since)
}

async function endByThem ({ ours, theirs }: TwoPeers, how: 'close' | 'abort'): Promise<void> {
  const since = ours.mark()
  await theirs.ask(how, ours.id)
  await ours.event({ event: 'disconnected', peer: theirs.id }, since)
}
