import type { EndpointVerdict, Likelihood, ObservedResult, PeerResult, Share, Source, Verdict } from './result.ts'

/**
 * This many observers are enough to tell how a NAT maps a port
 */
export const OBSERVERS_NEEDED = 4

/**
 * Draws a conclusion from the answers of the peers
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
 * The sources of all dials that show whether ports are reused. A dial that did not reach its
 * peer over TCP shows nothing. Neither does a dial to a peer that dialed this node at the same
 * moment: the dial from the listening port reached it, and only the second dial came from
 * another port
 */
export function telling (peers: PeerResult[]): Source[] {
  return peers.map(({ source }) => source).filter(source => source != null).filter(source => source.kind === 'reused' || source.why !== 'simultaneous_open')
}

/**
 * How many of the TCP dials came from a listening port. Dials that led to no libp2p
 * connection count, too
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
 * A hole punch comes from the listening port, and goes to the external address that other
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
