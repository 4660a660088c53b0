import { InvalidMultiaddrError } from '@libp2p/interface'
import { CODE_P2P, multiaddr } from '@multiformats/multiaddr'
import { TCP } from '@multiformats/multiaddr-matcher'
import { reuseportTcp } from '../../src/index.ts'
import { SOURCE_COLUMNS, SOURCE_LEGEND, dial, sourceCells, whyFailed } from './dial.ts'
import { TIMEOUT, listeningPorts, startNode } from './node.ts'
import { print } from './print.ts'
import { formatTable } from './table.ts'
import type { Node } from './node.ts'
import type { Multiaddr } from '@multiformats/multiaddr'

const TABLE = [
  { columns: ['peer'] },
  { columns: [...SOURCE_COLUMNS, 'peer saw'] }
]

interface Answer {
  rows: string[][]
  failed: boolean
}

/**
 * Dials the peers that the user names and prints what address they say they saw.
 *
 * One at a time: libp2p joins dials to one peer that run at the same time.
 *
 * @returns whether all of them answered
 */
export async function ask (addresses: string[]): Promise<boolean> {
  const node = await startNode(reuseportTcp())

  try {
    print(`reuseportTcp listens on ${listeningPorts(node)}`)

    const answers: Answer[] = []

    for (const address of addresses) {
      answers.push(await askPeer(node, address))
    }

    print('', ...formatTable(TABLE, answers.flatMap(({ rows }) => rows.map(row => row.map(withShortPeerIds)))), '', SOURCE_LEGEND)

    return answers.every(({ failed }) => !failed)
  } finally {
    await node.stop()
  }
}

/**
 * The row is filled as far as it goes; where it goes no further, the reason
 * takes the place of the next cell
 */
async function askPeer (node: Node, address: string): Promise<Answer> {
  const row = [address]
  const rows = [row]

  try {
    const { connection, source } = await dial(node, parse(address))
    row.push(...sourceCells(node, source))

    if (source?.because != null) {
      rows.push(['', source.because])
    }

    const { observedAddr } = await node.services.identify.identify(connection, { signal: AbortSignal.timeout(TIMEOUT) })
    row.push(observedAddr?.decapsulateCode(CODE_P2P).toString() ?? 'it does not say')

    return { rows, failed: observedAddr == null }
  } catch (err: any) {
    row.push(whyFailed(err))

    return { rows, failed: true }
  }
}

/**
 * Only addresses with an IP address or a name: given nothing but a peer id,
 * libp2p would dial addresses that it learned from others
 *
 * @throws {InvalidMultiaddrError}
 */
function parse (address: string): Multiaddr {
  const ma = multiaddr(address)

  if (!TCP.exactMatch(ma)) {
    throw new InvalidMultiaddrError('not a TCP address')
  }

  return ma
}

function withShortPeerIds (text: string): string {
  return text.replaceAll(/\w{40,}(?=\w{6})/g, '…')
}
