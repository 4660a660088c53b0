/**
 * What is between a machine and the public segment:
 *
 * - `none`: nothing
 * - `full-cone`: a NAT that maps endpoint-independently and lets everybody in
 * - `port-restricted`: maps endpoint-independently, and lets in only who was sent
 * something: the same address and port
 * - `symmetric`: maps to another port for each destination, filters likewise
 * - `firewalled-ipv6`: no NAT, only the filter
 *
 * RFC 3489, section 5, has the names, RFC 4787, sections 4 and 5, what they mean
 */
export type NatKind = 'none' | 'full-cone' | 'port-restricted' | 'symmetric' | 'firewalled-ipv6'

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
      iifname lan accept
    }
    chain input {
      type filter hook input priority filter; policy drop
      ct state established,related accept
      icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    }
  }`

const nat = (masquerade: string, inbound = ''): string => `
  table ip nat {
    chain postrouting {
      type nat hook postrouting priority srcnat
      oifname public ${masquerade}
    }
    chain prerouting {
      type nat hook prerouting priority dstnat
      ${inbound}
    }
  }`

/**
 * What a router's nftables are loaded with, given the IPv4 address of the machine
 * behind it
 */
export const NAT_RULES: Record<Exclude<NatKind, 'none'>, (inside: string) => string> = {
  'full-cone': inside => nat('masquerade', `iifname public meta l4proto tcp dnat to ${inside}`),
  // Linux keeps the source port as long as no other connection has it
  'port-restricted': () => nat('masquerade') + filter,
  symmetric: () => nat('masquerade random,fully-random') + filter,
  'firewalled-ipv6': () => filter
}
