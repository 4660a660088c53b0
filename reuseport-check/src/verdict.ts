import type { EndpointVerdict, Likelihood, ObservedResult, PeerResult, Share, Source, Verdict } from './result.ts'

/**
 * With so many observers, a NAT's mapping can be told in any case
 */
export const OBSERVERS_NEEDED = 4

/**
 * What follows from what the peers said
 */
export function judge (peers: PeerResult[], observed: ObservedResult[]): Verdict {
  const endpoints = observed.map(endpoint => ({ ...endpoint, holePunching: holePunching(endpoint, peers) }))

  return {
    ok: peers.every(({ reached, source }) => reached && source?.kind === 'reused'),
    portsReused: portsReused(peers),
    because: [...new Set(telling(peers).flatMap(source => source.kind === 'ephemeral' ? [source.message] : []))],
    endpoints,
    holePunching: best(endpoints)
  }
}

/**
 * What the dials came from, of those that tell whether ports are reused. A peer that was not
 * reached over TCP tells nothing. Neither does one that dialed us at the same moment: the dial
 * from the listening port reached it, and only the second one came from another port
 */
export function telling (peers: PeerResult[]): Source[] {
  return peers.map(({ source }) => source).filter(source => source != null).filter(source => source.kind === 'reused' || source.why !== 'simultaneous_open')
}

/**
 * How many of those who were dialed over TCP, even if nothing came of it, were
 * dialed from a listening port
 */
export function portsReused (peers: PeerResult[]): Share {
  const sources = telling(peers)
  const reused = sources.filter(({ kind }) => kind === 'reused')

  if (sources.length === 0) {
    return 'unknown'
  }

  if (reused.length === 0) {
    return 'none'
  }

  return reused.length === sources.length ? 'all' : 'some'
}

/**
 * The peers that were dialed over the IP version of this endpoint
 */
export function dialedFrom ({ listening }: Pick<ObservedResult, 'listening'>, peers: PeerResult[]): PeerResult[] {
  return peers.filter(({ source }) => source != null && ipVersion(source.address) === ipVersion(listening))
}

/**
 * `IPv4` or `IPv6`
 */
export function ipVersion (address: string): string {
  return address.startsWith('/ip4/') ? 'IPv4' : 'IPv6'
}

/**
 * A hole is punched from the listening port, at the external address that other
 * peers have observed
 */
function holePunching (endpoint: ObservedResult, peers: PeerResult[]): Likelihood {
  const { behindNat, natMapping } = endpoint
  const share = portsReused(dialedFrom(endpoint, peers))

  if (share === 'none') {
    return 'unlikely'
  }

  if (share === 'some') {
    return 'unknown'
  }

  if (behindNat === false || natMapping === 'endpoint-independent') {
    return 'likely'
  }

  return natMapping === 'endpoint-dependent' ? 'unlikely' : 'unknown'
}

function best (endpoints: EndpointVerdict[]): Likelihood {
  const found = endpoints.map(({ holePunching }) => holePunching)

  return (['likely', 'unlikely'] as const).find(likelihood => found.includes(likelihood)) ?? 'unknown'
}
