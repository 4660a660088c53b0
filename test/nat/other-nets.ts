import { markdownTable } from 'markdown-table'
import pMap from 'p-map'
import { inMs, print } from '../kit/print.ts'
import { median } from '../kit/statistics.ts'
import { createLab } from '../lab/lab.ts'
import { playPunch } from './punch.ts'
import type { Outcome } from './nat-pairs.ts'
import type { Punch, Role } from './punch.ts'
import type { Relay } from './relay.ts'
import type { Lab } from '../lab/lab.ts'
import type { Namespace } from '../lab/namespace.ts'

/**
 * One way, in ms, if not said otherwise
 */
const LATENCY = 20

/**
 * What the machines are called in their addresses
 */
const FIRST = 11
const SECOND = 12

/**
 * The ports of the first run. Each has other ones, so that no NAT remembers the run
 * before
 */
const FIRST_PORTS = [4001, 5001]

/**
 * How many nets are played at the same time
 */
const CONCURRENCY = 3

/**
 * The public nodes: a relay that can be reached both ways, one that only speaks IPv6,
 * and one that does no more than tell peers at which IPv4 address it sees them
 */
const PUBLIC_NODES = ['/ip4/11.0.0.1/tcp/4001,/ip6/2b00::1/tcp/4001', '/ip6/2b00::2/tcp/4001', '/ip4/11.0.0.3/tcp/4001']

const COLUMNS = ['first', 'second', 'dials', 'expected', 'direct', 'median', 'because']

type Family = 'ip4' | 'ip6'

interface Peer {
  what: string
  machine: Namespace

  /**
   * What it listens on. IPv4 by default
   */
  families?: Family[]

  /**
   * Where it reaches the relay. By IPv4 by default
   */
  relay?: keyof Relays

  /**
   * Is it connected to the node that tells it its IPv4 address?
   */
  asks?: boolean
}

interface Relays {
  ip4: string
  ip6: string
  onlyIp6: string
}

interface Net {
  latency?: number
  peers(lab: Lab): Promise<[Peer, Peer]>
  expected: Outcome
  because: string
}

interface Played extends Net {
  names: string[]
  dials: string
  runs: number
  punches: Punch[]
  errors: string[]
}

const NETS: Net[] = [
  {
    peers: async lab => [
      { what: 'refusing NAT', machine: await lab.hostBehind('refusing', FIRST) },
      { what: 'port-restricted', machine: await lab.hostBehind('port-restricted', SECOND) }
    ],
    expected: 'direct',
    because: 'both SYNs are out before one arrives, so neither is unexpected'
  },
  {
    peers: async lab => [
      { what: 'refusing NAT', machine: await lab.hostBehind('refusing', FIRST) },
      { what: 'refusing NAT', machine: await lab.hostBehind('refusing', SECOND) }
    ],
    expected: 'direct',
    because: 'the same'
  },
  {
    peers: async lab => [
      { what: 'two port-restricted NATs in a row', machine: await lab.hostBehindTwo('port-restricted', 'port-restricted', FIRST) },
      { what: 'port-restricted', machine: await lab.hostBehind('port-restricted', SECOND) }
    ],
    expected: 'direct',
    because: 'what two NATs make of an endpoint is the same for every destination if it is for each of them'
  },
  {
    peers: async lab => {
      const machines = await lab.twoHostsBehind('hairpin', FIRST)

      return [{ what: 'NAT with hairpin', machine: machines[0] }, { what: 'the same NAT', machine: machines[1] }]
    },
    expected: 'direct',
    because: 'the NAT sends back in what is for its own address (RFC 5382, REQ-8)'
  },
  {
    peers: async lab => {
      const machines = await lab.twoHostsBehind('port-restricted', FIRST)

      return [{ what: 'NAT without hairpin', machine: machines[0] }, { what: 'the same NAT', machine: machines[1] }]
    },
    expected: 'relayed',
    because: 'the only addresses that peers observe are the NAT\'s, which drops what comes from inside; private ones are not offered (DCUtR)'
  },
  {
    peers: async lab => [
      { what: 'IPv6 only, firewalled', machine: await lab.hostBehind('firewalled-ipv6', FIRST), families: ['ip6'], relay: 'ip6' },
      { what: 'public, both families', machine: await lab.hostBehind('none', SECOND), families: ['ip4', 'ip6'], relay: 'ip6' }
    ],
    expected: 'direct',
    because: 'the other one can be dialed by anybody'
  },
  {
    peers: async lab => [
      { what: 'IPv6 only, firewalled', machine: await lab.hostBehind('firewalled-ipv6', FIRST), families: ['ip6'], relay: 'ip6' },
      { what: 'port-restricted, IPv6 firewalled', machine: await lab.hostBehind('dual-stack', SECOND), families: ['ip4', 'ip6'], relay: 'ip6' }
    ],
    expected: 'direct',
    because: 'the relay has seen both at IPv6, where there are only filters'
  },
  {
    peers: async lab => [
      { what: 'IPv6 only, firewalled', machine: await lab.hostBehind('firewalled-ipv6', FIRST), families: ['ip6'], relay: 'ip6' },
      { what: 'port-restricted, no IPv6', machine: await lab.hostBehind('port-restricted', SECOND) }
    ],
    expected: 'relayed',
    because: 'they have no address family in common'
  },
  {
    peers: async lab => [
      { what: 'listens on both families', machine: await lab.hostBehind('dual-stack', FIRST), families: ['ip4', 'ip6'], relay: 'onlyIp6' },
      { what: 'so does it; relay over IPv6 only', machine: await lab.hostBehind('dual-stack', SECOND), families: ['ip4', 'ip6'], relay: 'onlyIp6' }
    ],
    expected: 'direct',
    because: 'by IPv6: these are the addresses that the relay has observed'
  },
  {
    peers: async lab => [
      { what: 'listens on IPv4', machine: await lab.hostBehind('dual-stack', FIRST), relay: 'onlyIp6' },
      { what: 'so does it; relay over IPv6 only', machine: await lab.hostBehind('dual-stack', SECOND), relay: 'onlyIp6' }
    ],
    expected: 'relayed',
    because: 'the relay sees ephemeral ports at IPv6, and nobody sees the IPv4 ones'
  },
  {
    peers: async lab => [
      { what: 'listens on IPv4', machine: await lab.hostBehind('dual-stack', FIRST), relay: 'onlyIp6', asks: true },
      { what: 'so does it; one more public peer', machine: await lab.hostBehind('dual-stack', SECOND), relay: 'onlyIp6', asks: true }
    ],
    expected: 'direct',
    because: 'by IPv4: the other public peer has observed it'
  },
  {
    latency: 0,
    peers: async lab => [
      { what: 'port-restricted, 5 ms away', machine: await lab.hostBehind('port-restricted', FIRST, 5) },
      { what: 'port-restricted, 150 ms away', machine: await lab.hostBehind('port-restricted', SECOND, 150) }
    ],
    expected: 'direct',
    because: 'DCUtR has both dial at the same time, half a round trip after the last message'
  }
]

/**
 * Hole punches in nets that are not two NATs with the same way to the relay, each in
 * both roles. Returns what is wrong
 */
export async function testOtherNets (runs: number): Promise<string[]> {
  print('Other nets that hole punches meet, in both roles. This takes a minute', '')

  const played = (await pMap(NETS, async net => play(net, runs), { concurrency: CONCURRENCY })).flat()

  print(markdownTable([COLUMNS, ...played.map(cells)]), '')

  return played.flatMap(whatFailed)
}

async function play (net: Net, maxRuns: number): Promise<Played[]> {
  // it takes long to find out that there is no way
  const runs = net.expected === 'direct' ? maxRuns : 1
  const lab = createLab({ latency: net.latency ?? LATENCY })
  const played: Played[] = []

  try {
    const publicMachine = await lab.host('11.0.0.1/24', '11.0.0.3/24', '2b00::1/64', '2b00::2/64')
    const publicNodes = publicMachine.start<Relay>(new URL('./relay.ts', import.meta.url), 'limited', ...PUBLIC_NODES)
    const [ip4, ip6, onlyIp6, observer] = await publicNodes.ask('addresses')
    const peers = await net.peers(lab)

    for (const roles of [[0, 1], [1, 0]]) {
      const [dials] = roles
      const punches: Punch[] = []
      const errors: string[] = []

      for (let i = 0; i < runs; i++) {
        const [a, b] = roles.map((n): Role => {
          const { machine, families = ['ip4'], relay = 'ip4', asks = false } = peers[n]
          const port = FIRST_PORTS[n] + dials * runs + i

          return {
            machine,
            listen: families.map(family => `/${family}/${family === 'ip4' ? '0.0.0.0' : '::'}/tcp/${port}`),
            relay: { ip4, ip6, onlyIp6 }[relay],
            observers: asks ? [observer] : []
          }
        })

        await playPunch({ a, b }, 'this package').then(
          punch => punches.push(punch),
          (err: Error) => errors.push(err.message)
        )
      }

      played.push({ ...net, names: peers.map(({ what }) => what), dials: ['first', 'second'][dials], runs, punches, errors })
    }
  } finally {
    await lab.stop()
  }

  return played
}

function cells ({ names, dials, expected, because, runs, punches }: Played): string[] {
  const direct = punches.filter(({ outcome }) => outcome === 'direct')

  return [...names, dials, expected, `${direct.length} of ${runs}`, inMs(median(direct.map(({ time }) => time))), because]
}

function whatFailed ({ names, dials, expected, punches, errors }: Played): string[] {
  const failures = punches.flatMap(({ outcome, remarks, failures }) => {
    return [...failures, ...(outcome === expected ? [] : [`${outcome}, not ${expected}: ${remarks.join('; ')}`])]
  })

  return [...errors, ...failures].map(failure => `Failed with ${names.join(' and ')}, the ${dials} one dials: ${failure}`)
}
