import { fork } from 'node:child_process'
import { once } from 'node:events'
import { multiaddr } from '@multiformats/multiaddr'
import { pEvent } from 'p-event'
import { TIMEOUT } from './node.ts'
import type { PeerMessage } from './peer.ts'
import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

/**
 * A peer that runs in another process
 */
export interface PeerProcess {
  readonly addresses: Multiaddr[]

  /**
   * Where the next connection of `dialer` comes from, as the peer sees it
   */
  nextConnectionFrom(dialer: PeerId): Promise<Multiaddr>

  stop(): Promise<void>
}

export async function startPeer (listen: string[]): Promise<PeerProcess> {
  const child = fork(new URL('./peer.ts', import.meta.url), listen)
  const exited = once(child, 'exit')
  const ended = new AbortController()
  const killChild = (): void => { child.kill() }

  process.once('exit', killChild)

  child.once('exit', code => {
    process.off('exit', killChild)
    ended.abort(new Error(`The peer process ended with code ${code}`))
  })

  const next = async <T> (read: (message: PeerMessage) => T | undefined): Promise<T> => {
  }
}
