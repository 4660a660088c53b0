import { markdownTable } from 'markdown-table'
import { dialEachOther, withTwoPeers } from '../interop/two-peers.ts'
import { inMs, print } from '../kit/print.ts'
import { median } from '../kit/statistics.ts'
import type { MutualDial, TwoPeersInit } from '../interop/two-peers.ts'

/** At which address each peer is dialed, and what it listens on */
const CASES = [
  { host: '11.0.0.N', bind: '11.0.0.N' },
  { host: '11.0.0.N', bind: '0.0.0.0' },
  { host: '2b00::N', bind: '2b00::N' }
]

/** The transports, and the peer programs that have them */
const TRANSPORTS = { reuseportTcp: 'js', '@libp2p/tcp': '@libp2p/tcp' } as const

const COLUMNS = ['transport', 'both listen on', 'one-way latency', 'rounds', 'simultaneous opens', 'dials', 'rejected', 'time to connected: median', 'worst', 'echoes failed', 'median']

interface Played {
  rounds: MutualDial[]
  simultaneousOpens: number
}

interface Outcomes {
  values: number[]
  errors: string[]
}

/**
 * Two peers dial each other at the same instant. With port reuse both dials are
 * for the same 4-tuple, so the SYNs meet and TCP makes one connection of them
 * ("simultaneous open"), which both ends believe to have dialed.
 *
 * Returns what is wrong with `reuseportTcp`. `@libp2p/tcp` is for comparison
 */
export async function testMutualDials (latencies: number[], rounds: number): Promise<string[]> {
  const rows: string[][] = []
  const failures: string[] = []

  print('Two peers dial each other at the same instant. Again and again, so this takes a while', '')

  for (const latency of latencies) {
    for (const addresses of CASES) {
      for (const [transport, peer] of Object.entries(TRANSPORTS)) {
        const played = await play({ ours: peer, theirs: peer, latency, ...addresses }, rounds)
        rows.push([transport, addresses.bind, `${latency} ms`, ...cells(played)])

        if (transport === 'reuseportTcp') {
          failures.push(...whatFailed(played).map(failure => `Failed with ${addresses.bind} at ${latency} ms: ${failure}`))
        }
      }
    }
  }

  print(markdownTable([COLUMNS, ...rows]), '')

  return failures
}

async function play (init: TwoPeersInit, count: number): Promise<Played> {
  return withTwoPeers(init, async peers => {
    const rounds: MutualDial[] = []
    let simultaneousOpens = 0

    while (rounds.length < count) {
      const before = await peers.lab.simultaneousOpens()
      rounds.push(await dialEachOther(peers))
      simultaneousOpens += await peers.lab.simultaneousOpens() > before ? 1 : 0
    }

    return { rounds, simultaneousOpens }
  })
}

function cells ({ rounds, simultaneousOpens }: Played): string[] {
  const { dials, echoes } = outcomesOf(rounds)

  return [
    `${rounds.length}`,
    `${simultaneousOpens}`,
    `${rounds.length * 2}`,
    `${dials.errors.length}`,
    inMs(median(dials.values)),
    inMs(Math.max(...dials.values)),
    `${echoes.errors.length}`,
    inMs(median(echoes.values))
  ]
}

function whatFailed ({ rounds, simultaneousOpens }: Played): string[] {
  const failures = Object.entries(outcomesOf(rounds))
    .filter(([, { errors }]) => errors.length > 0)
    .map(([name, { errors }]) => `${errors.length} ${name} (${[...new Set(errors)].join('; ')})`)

  // if the race did not happen, the rest proves nothing
  return simultaneousOpens === 0 ? [...failures, 'no simultaneous open was seen'] : failures
}

function outcomesOf (rounds: MutualDial[]): Record<keyof MutualDial, Outcomes> {
  const outcomes = (settled: Array<PromiseSettledResult<number>>): Outcomes => ({
    values: settled.filter(result => result.status === 'fulfilled').map(({ value }) => value),
    errors: settled.filter(result => result.status === 'rejected').map(({ reason }) => reason.message)
  })

  return { dials: outcomes(rounds.flatMap(({ dials }) => dials)), echoes: outcomes(rounds.flatMap(({ echoes }) => echoes)) }
}
