import { NAT_RULES } from './nat-rules.ts'
import type { Namespace } from './namespace.ts'
import type { NatKind } from './nat-rules.ts'

/**
 * Makes a router of a machine whose way to the public segment is its device `public`
 *
 * @param router - the machine
 * @param kind - what its NAT does
 * @param outside - its IPv4 address on that device
 * @param lans - the numbers of its LANs
 */
export async function setUpRouter (router: Namespace, kind: Exclude<NatKind, 'none'>, outside: string, lans: number[]): Promise<void> {
  await router.run('sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward && echo 1 > /proc/sys/net/ipv6/conf/all/forwarding')
  await router.run('nft', NAT_RULES[kind](outside, lans.map(hostAddress)))
}

/** Puts a machine, which may be a router itself, into a LAN of a router */
export async function putBehind (router: Namespace, host: Namespace, kind: NatKind, lan: number): Promise<void> {
  const device = `lan${lan}`
  await router.run('ip', 'link', 'add', device, 'type', 'veth', 'peer', 'name', 'public', 'netns', `${host.pid}`)

  for (const [namespace, name, n] of [[router, device, ROUTER], [host, 'public', HOST]] as const) {
    if (kind !== 'firewalled-ipv6') {
      await namespace.run('ip', 'address', 'add', `${lanAddress(lan, n)}/24`, 'dev', name)
    }

    if (hasIPv6(kind)) {
      await namespace.run('ip', 'address', 'add', `${lanPrefix(lan)}::${n}/64`, 'dev', name, 'nodad')
    }

    await namespace.run('ip', 'link', 'set', name, 'up')
  }

  await setDefaultRoutes(host, kind, lan)
}

/** A machine in a LAN reaches all others by its router */
export async function setDefaultRoutes (host: Namespace, kind: NatKind, lan: number): Promise<void> {
  if (kind !== 'firewalled-ipv6') {
    await host.run('ip', 'route', 'add', 'default', 'via', lanAddress(lan, ROUTER))
  }

  if (hasIPv6(kind)) {
    await host.run('ip', '-6', 'route', 'add', 'default', 'via', `${lanPrefix(lan)}::${ROUTER}`)
  }
}

/** Do machines behind such a router have public IPv6 addresses? */
export function hasIPv6 (kind: NatKind): boolean {
  return kind === 'firewalled-ipv6' || kind === 'dual-stack'
}

/** The public IPv6 addresses of a LAN, which need no NAT */
export function lanPrefix (lan: number): string {
  return `2b00:${lan}`
}

/** The IPv4 address of the machine in a LAN, as its router sees it */
export function hostAddress (lan: number): string {
  return lanAddress(lan, HOST)
}

/** The last numbers in the addresses of a LAN */
const ROUTER = 1
const HOST = 2

function lanAddress (lan: number, n: number): string {
  return `10.0.${lan}.${n}`
}
