import type { RawConnection } from './connection/connection.ts'
import type { DialedFrom } from './dialing/dialed-from.ts'
import type { SourcePort } from './options.ts'
import type { ProgressEvent } from 'progress-events'

/** The source of a dial, as users get it */
export function toSourcePort (from: DialedFrom, { localAddr }: RawConnection): SourcePort {
  switch (from.kind) {
    case 'reused': return { kind: 'reused', rule: from.rule, localAddr }
    case 'ephemeral': return { kind: 'ephemeral', why: from.why, message: from.message, localAddr }
    default: return { kind: 'unix' }
  }
}

/**
 * Does this event of `onProgress` tell where the connection was dialed from? `node.dial` passes
 * it on, but libp2p's types don't know it
 *
 * @example
 *
 * ```TypeScript
 * import { isSourcePort } from 'libp2p-reuseport-tcp'
 * import type { Libp2p } from '@libp2p/interface'
 * import type { Multiaddr } from '@multiformats/multiaddr'
 *
 * async function dial (node: Libp2p, peer: Multiaddr): Promise<void> {
 *   await node.dial(peer, {
 *     onProgress: event => {
 *       if (isSourcePort(event)) {
 *         console.info(event.detail.kind, event.detail.localAddr)
 *       }
 *     }
 *   })
 * }
 * ```
 */
export function isSourcePort (event: ProgressEvent): event is ProgressEvent<any, SourcePort> {
  return event.type === 'tcp:source-port'
}
