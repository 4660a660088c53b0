import { markdownTable } from 'markdown-table'
import { print } from '../kit/print.ts'
import { createLab } from '../lab/lab.ts'
import type { EndingPeer } from './ending-peer.ts'
import type { Script } from '../kit/processes.ts'

/** One way, in ms */
const LATENCY = 20

/**
 * How long before both ends do something they are told, in ms, so that they do it at the same
 * moment. And how long they wait until they connect again
 */
const NOTICE = 500
const PAUSE = 2_000

/** After this time, in ms, a SYN was dropped more than once. A NAT drops them for ten seconds */
const LATE = 5_000

const FIRST_PORT = 4001

/** How an end ends its connection. `this package`: the dial of a hole punch is aborted */
export type Ending = 'RST' | 'FIN' | 'FIN and RST' | 'nothing' | 'this package'

const ROWS: Array<[a: Ending, b: Ending]> = [
  ['RST', 'RST'],
  ['RST', 'nothing'],
  ['RST', 'FIN'],
  ['FIN', 'FIN'],
  ['FIN', 'nothing'],
  ['FIN and RST', 'RST'],
  ['FIN and RST', 'FIN'],
  ['FIN and RST', 'FIN and RST'],
  ['FIN and RST', 'nothing'],
  ['this package', 'RST'],
  ['this package', 'FIN'],
  ['this package', 'this package'],
  ['this package', 'nothing']
]

interface Played {
  endings: [Ending, Ending]

  /** How long it took A to connect again, in ms, or why it failed */
  results: string[]
}

/**
 * Two machines behind port-restricted NATs connect by a simultaneous open. Both end this
 * connection at the same moment, and connect once more between the same ports, two seconds
 * later. Returns what is wrong
 */
export async function testEndedPunches (runs: number): Promise<string[]> {
  const lab = createLab({ latency: LATENCY })
  print('Two NATs, a simultaneous open. Both ends end it at the same moment, and connect again from the same ports', '')

  try {
    const [a, b] = [await start(11), await start(12)]
    const play = async ([endingA, endingB]: Played['endings'], port: number): Promise<string> => {
      const connect = async (at: number): Promise<string> => (await Promise.all([
        a.ask('connect', '11.0.0.12', port, endingA, at),
        b.ask('connect', '11.0.0.11', port, endingB, at)
      ]))[0]

      await Promise.all([a.ask('prepare', port, endingA), b.ask('prepare', port, endingB)])
      await connect(Date.now() + NOTICE)
      const end = Date.now() + NOTICE
      await Promise.all([a, b].map(async peer => peer.ask('end', port, end)))

      return connect(end + PAUSE)
    }
    const played = await Promise.all(ROWS.map(async (endings, row): Promise<Played> => {
      return { endings, results: await Promise.all(Array.from({ length: runs }, async (_, run) => play(endings, FIRST_PORT + row * runs + run))) }
    }))

    print(markdownTable([['A sends', 'B sends', 'A is connected again after (ms)'], ...played.map(({ endings, results }) => [...endings, results.join(', ')])]), '')

    return played.flatMap(({ endings, results }) => {
      const failed = endings[0] === 'this package' ? results.filter(result => !(Number(result) < LATE)) : []

      return failed.map(result => `Failed to connect again at once after ${endings.join(' and ')}: ${result}`)
    })
  } finally {
    await lab.stop()
  }

  async function start (n: number): Promise<Script<EndingPeer>> {
    const machine = await lab.hostBehind('port-restricted', n)

    return machine.start<EndingPeer>(new URL('./ending-peer.ts', import.meta.url))
  }
}
