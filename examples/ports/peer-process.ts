import { fork } from 'node:child_process'
import { once } from 'node:events'
import { multiaddr } from '@multiformats/multiaddr'
import { pEvent } from 'p-event'
import { TIMEOUT } from './node.ts'
import type { ConnectionMessage, ListeningMessage } from './peer.ts'
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
  const ended = new AbortController()
  const kill = (): void => { child.kill() }

  process.once('exit', kill)

  child.once('exit', (code, signal) => {
    process.off('exit', kill)
    ended.abort(new Error(`A peer process ended: ${signal ?? `code ${code}`}`))
  })

  const nextMessage = async <T> (filter?: (message: T) => boolean): Promise<T> => {
    return pEvent<'message', T>(child, 'message', { filter, signal: ended.signal, timeout: TIMEOUT })
  }

  const addresses = await nextMessage<ListeningMessage>()

  return {
    addresses: addresses.map(address => multiaddr(address)),
    nextConnectionFrom: async dialer => {
      const { remoteAddr } = await nextMessage<ConnectionMessage>(({ from }) => from === dialer.toString())

      return multiaddr(remoteAddr)
    },
    stop: async () => {
      if (!ended.signal.aborted) {
        kill()
        await once(ended.signal, 'abort')
      }
    }
  }
}
