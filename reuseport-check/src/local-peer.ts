import { fork } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { multiaddr } from '@multiformats/multiaddr'
import type { Multiaddr } from '@multiformats/multiaddr'

export interface LocalPeer {
  address: Multiaddr
  stop(): Promise<void>
}

/**
 * Starts peer.ts, or the file that it was built into
 *
 * @throws {Error} if the peer ends before it listens
 */
export async function startLocalPeer (listen: string): Promise<LocalPeer> {
  const child = fork(new URL(`peer${path.extname(import.meta.url)}`, import.meta.url), [listen])
  const ended = once(child, 'exit')
  const [address] = await Promise.race([
    once(child, 'message'),
    ended.then(([code]) => { throw new Error(`The peer on ${listen} ended with code ${code}`) })
  ])

  return {
    address: multiaddr(address),
    async stop () {
      child.kill()
      await ended
    }
  }
}
