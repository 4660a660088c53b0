/** The machine that a program is played on: its addresses, names, and packet filter */

import dgram from 'node:dgram'
import { once } from 'node:events'
import fs from 'node:fs/promises'
import { execa } from 'execa'

/** Addresses of this machine, which nothing outside of it has */
const LITERALS = {
  loopback: '/ip4/127.0.0.1',
  loopback6: '/ip6/::1',
  wildcard: '/ip4/0.0.0.0',
  wildcard6: '/ip6/::',
  interface: '/ip4/11.0.0.1',
  interface6: '/ip6/2b00::1',

  /** What is sent there leaves from the address of the interface above */
  neighbour: '/ip4/11.0.0.2',

  /** os.networkInterfaces() does not list it: the interface has no carrier */
  noCarrier: '/ip4/11.0.1.1',

  /** Nor this one: it is in no interface, but a route says that it is local (AnyIP) */
  anyIP: '/ip4/11.0.2.7'
} as const

/**
 * Names. No `/dns4` of those that have addresses of both families, as `@libp2p/tcp` does not
 * heed the family that is asked for. The last three come from a DNS server that is slow or wrong
 */
const NAMES = {
  localhost: '/dns/localhost',
  v4: '/dns4/v4.test',
  v6: '/dns6/v6.test',

  /** Has addresses of both families */
  both: '/dns/both.test',

  /** Nobody listens at the first two of three addresses */
  three: '/dns4/three.test',
  slow: '/dns4/slow.test',
  silent: '/dns4/silent.test',
  unknown: '/dns/unknown.test'
} as const

export type Host = typeof LITERALS[keyof typeof LITERALS] | typeof NAMES[keyof typeof NAMES] | '/dns4/both.test'

export const LISTEN_HOSTS: Host[] = [
  LITERALS.wildcard, LITERALS.wildcard, LITERALS.loopback, LITERALS.wildcard6, LITERALS.loopback6, LITERALS.interface, LITERALS.noCarrier, LITERALS.anyIP, NAMES.localhost, NAMES.both, NAMES.slow, NAMES.unknown
]

export const HOSTS: Host[] = [LITERALS.loopback, LITERALS.loopback, ...Object.values(LITERALS), ...Object.values(NAMES)]

export const REFUSALS = ['drop', 'reject with tcp reset', 'reject with icmpx admin-prohibited', 'reject with icmpx port-unreachable'] as const

/** Which first packets are not let through, where, and how */
export interface Net {
  what: 'from listeners' | 'to peers'
  at: 'output' | 'input'
  does: typeof REFUSALS[number]
}

/** Run by a shell that is alone in a network and mount namespace */
export const SET_UP = String.raw`
  ip link set lo up
  # ports that programs name must never be ephemeral ones
  echo 40000 60999 > /proc/sys/net/ipv4/ip_local_port_range

  ip link add lan type veth peer name other
  ip address add 11.0.0.1/24 dev lan
  ip address add 11.0.0.2/24 dev lan
  ip address add 2b00::1/64 dev lan nodad
  ip link set lan up
  ip link set other up
  ip route replace local 11.0.0.2 dev lan src 11.0.0.1 table local

  ip link add dark type veth peer name nobody
  ip address add 11.0.1.1/24 dev dark
  ip link set dark up

  ip route add local 11.0.2.0/24 dev lo

  files=$(mktemp -d)
  mount -t tmpfs none "$files"
  printf '%s\n' '127.0.0.1 localhost v4.test both.test' '::1 localhost v6.test both.test' '127.0.0.8 three.test' '127.0.0.9 three.test' '127.0.0.1 three.test' > "$files/hosts"
  # longer than a dial may take
  printf '%s\n' 'nameserver 127.0.0.1' 'options timeout:4 attempts:1' > "$files/resolv.conf"
  echo 'hosts: files dns' > "$files/nsswitch.conf"
  for file in hosts resolv.conf nsswitch.conf; do mount --bind "$files/$file" "/etc/$file"; done
  umount -l "$files"
  rmdir "$files"

  # few, so that they are used up quickly
  ulimit -n 400
`

const SLOW_ANSWER_MS = 1_500

/** Answers what is not in /etc/hosts */
export async function startDns (): Promise<void> {
  const server = dgram.createSocket('udp4', (query, from) => {
    const { name, end } = question(query)
    const isIPv4 = query.readUInt16BE(end) === 1

    if (name.startsWith('silent')) {
      return
    }

    const isSlow = name.startsWith('slow')
    const answer = isSlow && isIPv4 ? Buffer.from('c00c00010001000000000004' + '7f000001', 'hex') : Buffer.alloc(0)
    const header = Buffer.from(query.subarray(0, 12))
    // a response, recursion available; no such name
    header.writeUInt16BE(isSlow ? 0x8180 : 0x8183, 2)
    header.writeUInt16BE(1, 4)
    header.writeUInt16BE(answer.byteLength > 0 ? 1 : 0, 6)
    header.writeUInt32BE(0, 8)
    const response = Buffer.concat([header, query.subarray(12, end + 4), answer])

    setTimeout(() => { server.send(response, from.port, from.address) }, isSlow ? SLOW_ANSWER_MS : 0)
  })

  server.bind(53, '127.0.0.1')
  await once(server, 'listening')
}

/** The first label of what is asked for, and where the name ends */
function question (query: Buffer): { name: string, end: number } {
  let end = 12

  while (query[end] !== 0) {
    end += query[end] + 1
  }

  return { name: query.toString('latin1', 13, 13 + query[12]), end: end + 1 }
}

/** @returns what lets everything through again */
export async function applyNet ({ what, at, does }: Net, ports: { listeners: string, peers: string }): Promise<() => Promise<void>> {
  const match = what === 'from listeners' ? `tcp sport ${ports.listeners}` : `tcp dport ${ports.peers}`

  await execa('nft', [`table inet program { chain it { type filter hook ${at} priority 0; ${match} ct state new ${does}; }; }`])

  return async () => { await execa('nft', ['flush', 'ruleset']) }
}

/** Opens files until there are only `left` descriptors */
export async function useUpDescriptors (left: number): Promise<() => Promise<void>> {
  const files: fs.FileHandle[] = []

  try {
    while (true) {
      files.push(await fs.open('/dev/null'))
    }
  } catch (err: any) {
    if (err.code !== 'EMFILE') {
      throw err
    }
  }

  await Promise.all(files.splice(0, left).map(async file => file.close()))

  return async () => { await Promise.all(files.map(async file => file.close())) }
}
