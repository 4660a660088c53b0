import { print } from '../../examples/ports/print.ts'
import { formatTable } from '../../examples/ports/table.ts'
import { createLab } from './lab.ts'
import { inMs, median, worst } from './times.ts'
import type { Lab } from './lab.ts'
import type { Peer, TransportName } from './peer.ts'
import type { Script } from './script.ts'

/**
 * What both peers listen on, and at which address each is dialed by the other. N
 * is 1 for one of them and 2 for the other
 */
const CASES = [
  { listen: '/ip4/11.0.0.N/tcp/4001', dial: '/ip4/11.0.0.N/tcp/4001' },
  { listen: '/ip4/0.0.0.0/tcp/4001', dial: '/ip4/11.0.0.N/tcp/4001' },
  { listen: '/ip6/2b00::N/tcp/4001', dial: '/ip6/2b00::N/tcp/4001' }
]

const TRANSPORTS: TransportName[] = ['reuseportTcp', '@libp2p/tcp']

/**
 * How long before the instant the peers are told of it, in ms
 */
const NOTICE = 100

const TABLE = [
  { columns: ['transport', 'both listen on', 'one-way latency'] },
  { title: 'rounds', columns: ['all', 'simultaneous open'] },
  { title: 'dials', columns: ['all', 'rejected'] },
  { title: 'time to connected', columns: ['median', 'worst'] },
  { title: 'pings', columns: ['failed', 'median'] }
]

interface Round {
  /**
   * Did the SYNs meet?
   */
  simultaneousOpen: boolean

  /**
   * From the common instant until connected, in ms
   */
  dials: Array<PromiseSettledResult<number>>

  /**
   * Round-trip times in ms, from each end
   */
  pings: Array<PromiseSettledResult<number>>
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
      for (const transport of TRANSPORTS) {
        const played = await play(transport, addresses, latency, rounds)
        rows.push([transport, addresses.listen, `${latency} ms`, ...cells(played)])

        if (transport === 'reuseportTcp') {
          failures.push(...whatFailed(played).map(failure => `Failed with ${addresses.listen} at ${latency} ms: ${failure}`))
        }
      }
    }
  }

  print(...formatTable(TABLE, rows), '')

  return failures
}

async function play (transport: TransportName, { listen, dial }: typeof CASES[0], latency: number, rounds: number): Promise<Round[]> {
  const lab = createLab({ latency })
  const played: Round[] = []

  try {
    const peers = await Promise.all([1, 2].map(async n => {
      const host = await lab.host(`11.0.0.${n}/24`, `2b00::${n}/64`)

      return host.start<Peer>(new URL('./peer.ts', import.meta.url), transport, listen.replace('N', `${n}`))
    }))

    const addresses = await Promise.all(peers.map(async (peer, i) => `${dial.replace('N', `${i + 1}`)}/p2p/${await peer.call('id')}`))

    while (played.length < rounds) {
      played.push(await playRound(lab, peers, addresses.toReversed()))
    }
  } finally {
    await lab.stop()
  }

  return played
}

async function playRound (lab: Lab, peers: Array<Script<Peer>>, targets: string[]): Promise<Round> {
  const opensBefore = await lab.simultaneousOpens()
  const at = Date.now() + NOTICE

  const dials = await Promise.allSettled(peers.map(async (peer, i) => peer.call('dial', targets[i], at)))
  const pings = await Promise.allSettled(peers.map(async peer => peer.call('ping')))
  await Promise.all(peers.map(async peer => peer.call('hangUp')))

  return { simultaneousOpen: await lab.simultaneousOpens() > opensBefore, dials, pings }
}

function cells (rounds: Round[]): string[] {
  const dials = outcomes(rounds.flatMap(({ dials }) => dials))
  const pings = outcomes(rounds.flatMap(({ pings }) => pings))

  return [
    `${rounds.length}`,
    `${simultaneousOpens(rounds)}`,
    `${rounds.length * 2}`,
    `${dials.errors.length}`,
    inMs(median(dials.values)),
    inMs(worst(dials.values)),
    `${pings.errors.length}`,
    inMs(median(pings.values))
  ]
}

function whatFailed (rounds: Round[]): string[] {
  const errors = {
    dials: outcomes(rounds.flatMap(({ dials }) => dials)).errors,
    pings: outcomes(rounds.flatMap(({ pings }) => pings)).errors
  }

  const failures = Object.entries(errors)
    .filter(([, messages]) => messages.length > 0)
    .map(([name, messages]) => `${messages.length} ${name} (${[...new Set(messages)].join('; ')})`)

  // if the race did not happen, the rest proves nothing
  return simultaneousOpens(rounds) === 0 ? [...failures, 'no simultaneous open was seen'] : failures
}

function simultaneousOpens (rounds: Round[]): number {
  return rounds.filter(({ simultaneousOpen }) => simultaneousOpen).length
}

function outcomes (settled: Array<PromiseSettledResult<number>>): { values: number[], errors: string[] } {
  return {
    values: settled.filter(result => result.status === 'fulfilled').map(({ value }) => value),
    errors: settled.filter(result => result.status === 'rejected').map(({ reason }) => reason.message)
  }
}
