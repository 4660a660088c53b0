import { TIMEOUT, listensOnPortOf, portOf } from './node.ts'
import type { Node } from './node.ts'
import type { ReuseportTcpDialEvents, SourcePort } from '../../src/index.ts'
import type { Connection, OpenConnectionProgressEvents } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

export interface Dialed {
  connection: Connection

  /**
   * Where it was dialed from, if the transport tells
   */
  source?: SourcePort
}

/**
 * Opens a connection to this very address, even if there is one to the peer
 */
export async function dial (node: Node, address: Multiaddr): Promise<Dialed> {
  let source: SourcePort | undefined

  const connection = await node.dial(address, {
    force: true,
    signal: AbortSignal.timeout(TIMEOUT),
    onProgress: (event: OpenConnectionProgressEvents | ReuseportTcpDialEvents) => {
      if (event.type === 'tcp:source-port') {
        source = event.detail
      }
    }
  })

  return { connection, source }
}

export const SOURCE_COLUMNS = ['dialed from', 'reused', 'reason']
export const SOURCE_LEGEND = 'wildcard: from the listener on 0.0.0.0 or ::, ephemeral: from a port that the kernel chose'

/**
 * What belongs into the {@link SOURCE_COLUMNS} of a table
 */
export function sourceCells (node: Node, source?: SourcePort): string[] {
  return source?.localAddr == null
    ? ['unknown', 'no', '']
    : [portOf(source.localAddr), listensOnPortOf(node, source.localAddr) ? 'yes' : 'no', source.reason]
}

/**
 * In one line, for the user
 */
export function whyFailed (err: Error): string {
  return ['AbortError', 'TimeoutError'].includes(err.name) ? `no answer within ${TIMEOUT / 1000} s` : err.message
}
