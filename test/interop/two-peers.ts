import { until } from '../kit/wait.ts'
import { createLab } from '../lab/lab.ts'
import { startPeer } from './peer.ts'
import type { Implementation } from './implementations.ts'
import type { Peer } from './peer.ts'
import type { Lab } from '../lab/lab.ts'
import type { Namespace } from '../lab/namespace.ts'

/** In ms */
const TIMEOUT = 10_000

/** How long before the instant of a dial the peers are told of it, in ms */
const NOTICE = 100

export interface TwoPeersInit {
  ours: Implementation
  theirs: Implementation

  /** One way, in ms */
  latency: number
  flags?: string[]

  /**
   * Where each is dialed, and what it listens on if not the wildcard. N is 1 for ours, 2 for
   * theirs
   */
  host?: string
  bind?: string
}

export interface TwoPeers {
  lab: Lab
  machines: Namespace[]
  ours: Peer
  theirs: Peer

  /** Starts one of them once more, with the same identity, on the same port */
  restart(which: 'ours' | 'theirs'): Promise<void>
}

/** What became of a dial, or an echo, of each: how long it took, in ms */
export interface MutualDial {
  dials: Array<PromiseSettledResult<number>>
  echoes: Array<PromiseSettledResult<number>>
}

/** Two public machines with a peer each, which listen on the same port */
export async function withTwoPeers <T> ({ ours, theirs, latency, flags = [], host = '11.0.0.N', bind }: TwoPeersInit, use: (peers: TwoPeers) => Promise<T>): Promise<T> {
  const lab = createLab({ latency })

  try {
    const machines = [await lab.host('11.0.0.1/24', '2b00::1/64'), await lab.host('11.0.0.2/24', '2b00::2/64')]
    const start = async (implementation: Implementation, n: number): Promise<Peer> => startPeer({
      implementation,
      machine: machines[n - 1],
      host: host.replace('N', `${n}`),
      bind: bind?.replace('N', `${n}`),
      port: 4001,
      flags: [...flags, '--seed', `${n}`]
    })
    const peers: TwoPeers = {
      lab,
      machines,
      ours: await start(ours, 1),
      theirs: await start(theirs, 2),
      restart: async which => {
        peers[which] = which === 'ours' ? await start(ours, 1) : await start(theirs, 2)
      }
    }

    return await use(peers)
  } finally {
    await lab.stop()
  }
}

/** Both dial each other at the same instant, send bytes to and fro, and hang up */
export async function dialEachOther ({ machines, ours, theirs }: TwoPeers): Promise<MutualDial> {
  const both = [[ours, theirs], [theirs, ours]]
  const at = Date.now() + NOTICE
  const dials = await Promise.allSettled(both.map(async ([peer, other]) => Number((await peer.ask('dial', other.address, at)).ms)))
  const echoes: MutualDial['echoes'] = []

  // one after the other: a peer whose own dial failed may not have the other's yet
  for (const [peer, other] of both) {
    echoes.push(...await Promise.allSettled([peer.ask('echo', other.id, 1_000).then(({ ms }) => Number(ms))]))
  }

  await Promise.all(both.map(async ([peer, other]) => peer.ask('close', other.id)))
  await untilDisconnected(ours, theirs)
  // nor do the kernels have the 4-tuple any more
  await until(async () => (await Promise.all(machines.map(async machine => machine.run('ss', '-Htn')))).join('') === '', TIMEOUT)

  return { dials, echoes }
}

/** Closes what is open between two peers, and waits until both know */
export async function disconnect (a: Peer, b: Peer): Promise<void> {
  await a.ask('close', b.id)
  await untilDisconnected(a, b)
}

async function untilDisconnected (a: Peer, b: Peer): Promise<void> {
  await until(() => a.connectionsTo(b.id, false) === 0 && b.connectionsTo(a.id, false) === 0, TIMEOUT)
}
