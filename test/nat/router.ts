import { NAT_RULES } from './nat-rules.ts'
import type { Namespace } from './namespace.ts'
import type { NatKind } from './nat-rules.ts'

/**
 * Puts a machine behind a router that is on the public segment already. `n` tells
 * their LAN from others
 */
export async function putBehind (router: Namespace, host: Namespace, kind: Exclude<NatKind, 'none'>, n: number): Promise<void> {
  await router.run('ip', 'link', 'add', 'lan', 'type', 'veth', 'peer', 'name', 'lan', 'netns', `${host.pid}`)
  await router.run('sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward && echo 1 > /proc/sys/net/ipv6/conf/all/forwarding')
  await router.run('nft', NAT_RULES[kind](`10.0.${n}.2`))

  await configure(router, n, 1)
  await configure(host, n, 2)
  await host.run('ip', 'route', 'add', 'default', 'via', `10.0.${n}.1`)
  await host.run('ip', '-6', 'route', 'add', 'default', 'via', `${lanPrefix(n)}::1`)
}

/**
 * The public IPv6 addresses of a LAN, which need no NAT
 */
export function lanPrefix (n: number): string {
  return `2b00:${n}`
}

async function configure (namespace: Namespace, n: number, host: number): Promise<void> {
  await namespace.run('ip', 'address', 'add', `10.0.${n}.${host}/24`, 'dev', 'lan')
  await namespace.run('ip', 'address', 'add', `${lanPrefix(n)}::${host}/64`, 'dev', 'lan', 'nodad')
  await namespace.run('ip', 'link', 'set', 'lan', 'up')
}
