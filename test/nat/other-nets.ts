import { MACHINES } from './scene.ts'
import type { Scene } from './scene.ts'

const [FIRST, SECOND] = MACHINES

/** Nets that are not two NATs with the same way to the relay */
const NETS: Array<Pick<Scene, 'names' | 'sides' | 'expected' | 'because' | 'lab'>> = [
  {
    names: ['refusing NAT', 'port-restricted'],
    sides: async lab => [
      { machine: await lab.hostBehind('refusing', FIRST) },
      { machine: await lab.hostBehind('port-restricted', SECOND) }
    ],
    expected: 'direct',
    because: 'both SYNs are out before one arrives, so neither is unexpected'
  },
  {
    names: ['refusing NAT', 'refusing NAT'],
    sides: async lab => [
      { machine: await lab.hostBehind('refusing', FIRST) },
      { machine: await lab.hostBehind('refusing', SECOND) }
    ],
    expected: 'direct',
    because: 'the same'
  },
  {
    names: ['two port-restricted NATs in a row', 'port-restricted'],
    sides: async lab => [
      { machine: await lab.hostBehindTwo('port-restricted', 'port-restricted', FIRST) },
      { machine: await lab.hostBehind('port-restricted', SECOND) }
    ],
    expected: 'direct',
    because: 'what two NATs make of an endpoint is the same for every destination if it is for each of them'
  },
  {
    names: ['NAT with hairpin', 'the same NAT'],
    sides: async lab => {
      const [first, second] = await lab.twoHostsBehind('hairpin', FIRST)

      return [{ machine: first }, { machine: second }]
    },
    expected: 'direct',
    because: 'the NAT sends back in what is for its own address (RFC 5382, REQ-8)'
  },
  {
    names: ['NAT without hairpin', 'the same NAT'],
    sides: async lab => {
      const [first, second] = await lab.twoHostsBehind('port-restricted', FIRST)

      return [{ machine: first }, { machine: second }]
    },
    expected: 'relayed',
    because: 'the only addresses that peers observe are the NAT\'s, which drops what comes from inside; private ones are not offered (DCUtR)'
  },
  {
    names: ['IPv6 only, firewalled', 'public, both families'],
    sides: async lab => [
      { machine: await lab.hostBehind('firewalled-ipv6', FIRST), families: ['ip6'], relay: 'ip6' },
      { machine: await lab.hostBehind('none', SECOND), families: ['ip4', 'ip6'], relay: 'ip6' }
    ],
    expected: 'direct',
    because: 'the other one can be dialed by anybody'
  },
  {
    names: ['IPv6 only, firewalled', 'port-restricted, IPv6 firewalled'],
    sides: async lab => [
      { machine: await lab.hostBehind('firewalled-ipv6', FIRST), families: ['ip6'], relay: 'ip6' },
      { machine: await lab.hostBehind('dual-stack', SECOND), families: ['ip4', 'ip6'], relay: 'ip6' }
    ],
    expected: 'direct',
    because: 'the relay has seen both at IPv6, where there are only filters'
  },
  {
    names: ['IPv6 only, firewalled', 'port-restricted, no IPv6'],
    sides: async lab => [
      { machine: await lab.hostBehind('firewalled-ipv6', FIRST), families: ['ip6'], relay: 'ip6' },
      { machine: await lab.hostBehind('port-restricted', SECOND) }
    ],
    expected: 'relayed',
    because: 'they have no address family in common'
  },
  {
    names: ['listens on both families', 'so does it; relay over IPv6 only'],
    sides: async lab => [
      { machine: await lab.hostBehind('dual-stack', FIRST), families: ['ip4', 'ip6'], relay: 'onlyIp6' },
      { machine: await lab.hostBehind('dual-stack', SECOND), families: ['ip4', 'ip6'], relay: 'onlyIp6' }
    ],
    expected: 'direct',
    because: 'by IPv6: these are the addresses that the relay has observed'
  },
  {
    names: ['listens on IPv4', 'so does it; relay over IPv6 only'],
    sides: async lab => [
      { machine: await lab.hostBehind('dual-stack', FIRST), relay: 'onlyIp6' },
      { machine: await lab.hostBehind('dual-stack', SECOND), relay: 'onlyIp6' }
    ],
    expected: 'relayed',
    because: 'the relay sees ephemeral ports at IPv6, and nobody sees the IPv4 ones'
  },
  {
    names: ['listens on IPv4', 'so does it; one more public peer'],
    sides: async lab => [
      { machine: await lab.hostBehind('dual-stack', FIRST), relay: 'onlyIp6', asks: 1 },
      { machine: await lab.hostBehind('dual-stack', SECOND), relay: 'onlyIp6', asks: 1 }
    ],
    expected: 'direct',
    because: 'by IPv4: the other public peer has observed it'
  },
  {
    lab: { latency: 0 },
    names: ['port-restricted, 5 ms away', 'port-restricted, 150 ms away'],
    sides: async lab => [
      { machine: await lab.hostBehind('port-restricted', FIRST, 5) },
      { machine: await lab.hostBehind('port-restricted', SECOND, 150) }
    ],
    expected: 'direct',
    because: 'DCUtR has both dial at the same time, half a round trip after the last message'
  }
]

/** Each in both roles */
export function otherNets (runs: number): Scene[] {
  // it takes long to find out that there is no way
  return NETS.map(net => ({ ...net, runs: net.expected === 'direct' ? 2 * runs : 2, dials: 'in turn' }))
}
