/**
 * What is between a machine and the public segment:
 *
 * - `none`: nothing
 * - `full-cone`: a NAT that maps endpoint-independently and lets everybody in
 * - `port-restricted`: maps endpoint-independently, and lets in only who was sent
 * something: the same address and port
 * - `symmetric`: maps to another port for each destination, filters likewise
 * - `forwarded`: a symmetric one that forwards port 4001 to the machine behind it.
 * pfSense and OPNsense can be set up like this
 * - `counting`: a symmetric one that maps each new connection to the next port
 * - `firewalled-ipv6`: IPv6 only, without NAT, with the filter of a port-restricted one
 * - `dual-stack`: a port-restricted one for IPv4, only the filter for IPv6
 * - `refusing`: a port-restricted one that answers what it does not let in with RST
 * - `hairpin`: a port-restricted one that lets machines behind it reach each other at
 * its public address. The first one's ports are 4000 to 4999, the second one's 5000
 * to 5999
 *
 * RFC 3489, section 5, has the names, RFC 4787, sections 4 and 5, what they mean
 */
export type NatKind = 'none' | 'full-cone' | 'port-restricted' | 'symmetric' | 'forwarded' | 'counting' | 'firewalled-ipv6' | 'dual-stack' | 'refusing' | 'hairpin'

/**
 * What is neither an answer nor from inside is dropped, not refused. That goes for
 * what comes to the router itself, too: it would answer a stray SYN with RST
 */
const filter = `
  table inet filter {
    chain forward {
      type filter hook forward priority filter; policy drop
      ct state invalid drop
      ct state established,related accept
      ct status dnat accept
      iifname "lan*" accept
    }
    chain input {
      type filter hook input priority filter; policy drop
      ct state established,related accept
      icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    }
  }`

const nat = (masquerade: string, inbound = '', hairpin = ''): string => `
  table ip nat {
    chain postrouting {
      type nat hook postrouting priority srcnat
      oifname public ${masquerade}
      ${hairpin}
    }
    chain prerouting {
      type nat hook prerouting priority dstnat
      ${inbound}
    }
  }`

/**
 * The ports of a NAT that counts. Without a map, nftables would count the first byte of the
 * port, not the second
 */
const NEXT_PORTS = Array.from({ length: 1_000 }, (_, i) => 20_000 + i)

/**
 * What a router's nftables are loaded with, given its own IPv4 address and those of
 * the machines behind it
 */
export const NAT_RULES: Record<Exclude<NatKind, 'none'>, (outside: string, inside: string[]) => string> = {
  'full-cone': (outside, [inside]) => nat('masquerade', `iifname public meta l4proto tcp dnat to ${inside}`),
  // Linux keeps the source port as long as no other connection has it
  'port-restricted': () => nat('masquerade') + filter,
  symmetric: () => nat('masquerade random,fully-random') + filter,
  forwarded: (outside, [inside]) => nat('masquerade random,fully-random', `iifname public tcp dport 4001 dnat to ${inside}`) + filter,
  counting: () => nat(`meta l4proto { tcp, udp } masquerade to : numgen inc mod ${NEXT_PORTS.length} map { ${NEXT_PORTS.map((port, i) => `${i} : ${port}`).join()} }`) + filter,
  'firewalled-ipv6': () => filter,
  'dual-stack': () => nat('masquerade') + filter,
  // without a filter it is the kernel that answers, as for any closed port
  refusing: () => nat('masquerade'),
  hairpin: (outside, inside) => nat(
    'masquerade',
    inside.map((address, i) => `ip daddr ${outside} tcp dport ${4 + i}000-${4 + i}999 iifname "lan*" dnat to ${address}`).join('\n'),
    `iifname "lan*" oifname "lan*" snat to ${outside}`
  ) + filter
}
