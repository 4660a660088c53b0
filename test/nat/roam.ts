import { markdownTable } from 'markdown-table'
import { startPeer } from '../interop/peer.ts'
import { inMs, print } from '../kit/print.ts'
import { createLab } from '../lab/lab.ts'
import { idOf, meet, punch, stateOf } from './punch.ts'
import { CONES, behind } from './scenes.ts'
import type { Round } from './punch.ts'
import type { Relay } from './relay.ts'
import type { Scene } from './scene.ts'
import type { Peer } from '../interop/peer.ts'
import type { Roaming } from '../lab/lab.ts'

/** One way, in ms */
const LATENCY = 20

const PORT = 4001
const ROAMER = 11
const PARTNER = 21

/**
 * How many peers the laptop dials in each network, beside its relay. They are other peers in each
 * network
 */
const MET = 3

interface Network {
  what: string
  change?(roaming: Roaming): Promise<void>

  /** Where others see the laptop */
  external: string
}

const NETWORKS: Network[] = [
  { what: 'at home', external: '/ip4/11.0.0.11/tcp/4001' },
  { what: 'the router gets another address', change: async roaming => roaming.renumber(12), external: '/ip4/11.0.0.12/tcp/4001' },
  { what: 'the router reboots and maps to another port', change: async roaming => roaming.reboot(PORT, 54_001), external: '/ip4/11.0.0.12/tcp/54001' },
  { what: 'another LAN behind another router', change: async roaming => roaming.move('port-restricted', 13), external: '/ip4/11.0.0.13/tcp/4001' },
  { what: 'no link for a while', change: async roaming => roaming.unplug(500), external: '/ip4/11.0.0.13/tcp/4001' },
  { what: 'a third LAN', change: async roaming => roaming.move('port-restricted', 14), external: '/ip4/11.0.0.14/tcp/4001' }
]

const SCENE: Scene = { ...behind(CONES), runs: NETWORKS.length, attempts: 1 }

const COLUMNS = ['network', 'others see it at', 'offered then', 'mapping', 'a peer dials it over the relay', 'after']

interface Found extends Round {
  network: Network
  candidates: string[]
  mappings: string[]
}

/**
 * A laptop with a node moves from network to network. As soon as it is connected to its relay
 * again, it must offer where it is now, and a peer that dials it over the relay must get a direct
 * connection at the first attempt. Returns what is wrong
 */
export async function testRoaming (): Promise<string[]> {
  const lab = createLab({ latency: LATENCY })
  const found: Found[] = []

  try {
    const addresses = Array.from({ length: 1 + MET * NETWORKS.length }, (_, i) => `11.0.0.${i === 0 ? 1 : 100 + i}`)
    const publicMachine = await lab.host(...addresses.map(address => `${address}/24`))
    const nodes = publicMachine.start<Relay>(new URL('./relay.ts', import.meta.url), 'limited', ...addresses.map(address => `/ip4/${address}/tcp/4001`))
    const [relay, ...others] = await nodes.ask('addresses')
    const machine = await lab.hostBehind('port-restricted', ROAMER)
    const roamer = await startPeer({ implementation: 'js', machine, host: '11.0.0.11', port: PORT })
    const partners = await lab.hostBehind('port-restricted', PARTNER)

    for (const [i, network] of NETWORKS.entries()) {
      const partner = await startPeer({ implementation: 'js', machine: partners, host: `11.0.0.${PARTNER}`, port: PORT + i })
      const met = others.slice(i * MET, (i + 1) * MET)

      await network.change?.(lab.roam(machine))
      found.push(await visit(network, relay, roamer, partner))

      for (const address of met) {
        await meet(roamer, address)
      }

      // as libp2p does when nobody answers its pings any more
      for (const id of [...[relay, ...met].map(idOf), partner.id]) {
        await roamer.ask('abort', id)
      }

      await partner.stop()
    }
  } finally {
    await lab.stop()
  }

  print(markdownTable([COLUMNS, ...found.map(cells)]), '')

  return found.flatMap(({ network: { what }, wrong }) => wrong.map(each => `Failed on the move, ${what}: ${each}`))
}

/** The laptop is connected to its relay again, and a peer dials it */
async function visit (network: Network, relay: string, roamer: Peer, partner: Peer): Promise<Found> {
  await meet(roamer, relay)
  const { candidates, mappings } = await stateOf(roamer)
  const round = await punch(SCENE, { a: partner, b: roamer, relayOfA: relay, relayOfB: relay }).catch((err: Error): Round => ({ wrong: [err.message] }))

  return {
    ...round,
    network,
    candidates,
    mappings,
    wrong: [
      ...(candidates[0] === network.external ? [] : [`offers ${candidates.join(', ')}`]),
      ...(mappings.includes('endpoint-dependent') ? ['the mapping looks endpoint-dependent'] : []),
      ...round.wrong
    ]
  }
}

function cells ({ network: { what, external }, candidates, mappings, outcome, time }: Found): string[] {
  return [what, external, candidates.join(', '), mappings.join(), outcome ?? 'no result', inMs(time)]
}
