import { until } from '../fixtures/until.ts'
import { createLab } from '../nat/lab.ts'
import { startPeer } from './peer.ts'
import type { Implementation } from './implementations.ts'
import type { Peer } from './peer.ts'
import type { Lab } from '../nat/lab.ts'

/**
 * In ms
 */
const TIMEOUT = 10_000

export interface TwoPeers {
  lab: Lab
  ours: Peer
  theirs: Peer

  /**
   * Starts one of them once more, with the same identity, on the same port
   */
  restart(which: 'ours' | 'theirs'): Promise<void>
}

/**
 * Two public machines with a peer each, which listen on the same port. The latency
 * is one way, in ms
 */
export async function withTwoPeers <T> (ours: Implementation, theirs: Implementation, latency: number, flags: string[], use: (peers: TwoPeers) => Promise<T>): Promise<T> {
  const lab = createLab({ latency })

  try {
    const hosts = ['11.0.0.1', '11.0.0.2']
    const machines = [await lab.host(`${hosts[0]}/24`), await lab.host(`${hosts[1]}/24`)]
    const start = async (i: number, implementation: Implementation): Promise<Peer> => {
      return startPeer({ implementation, machine: machines[i], host: hosts[i], port: 4001, flags: [...flags, '--seed', `${i + 1}`] })
    }
    const peers: TwoPeers = {
      lab,
      ours: await start(0, ours),
      theirs: await start(1, theirs),
      restart: async which => {
        peers[which] = which === 'ours' ? await start(0, ours) : await start(1, theirs)
      }
    }

    return await use(peers)
  } finally {
    await lab.stop()
  }
}

/**
 * Closes what is open between two peers, and waits until both know
 */
export async function disconnect (a: Peer, b: Peer): Promise<void> {
  await a.ask('close', b.id)
  await untilDisconnected(a, b)
}

export async function untilDisconnected (a: Peer, b: Peer): Promise<void> {
  await until(() => a.connectionsTo(b.id, false) === 0 && b.connectionsTo(a.id, false) === 0, TIMEOUT)
}
