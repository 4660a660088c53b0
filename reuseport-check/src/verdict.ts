import type { EndpointVerdict, InboundResult, Likelihood, ObservedResult, PeerResult, Share, Source, Verdict } from './result.ts'
import type { EphemeralReason } from 'libp2p-reuseport-tcp'

/** This many observers are enough to tell how a NAT maps a port */
export const OBSERVERS_NEEDED = 4

/** The reasons for which a dial from the listening port does not get through a network */
const BLOCKED: EphemeralReason[] = ['suspended', 'faster', 'refused']

/**
 * If fewer dials are blocked, the firewalls of these peers may be the reason, and not the
 * network of this machine. The transport suspends a listening port after as many
 */
const BLOCKED_BY_NETWORK = 3

/** Draws a conclusion from the answers of the peers */
export function judge (peers: PeerResult[], observed: ObservedResult[], inbound: InboundResult[] = []): Verdict {
  const endpoints = observed.map(endpoint => ({ ...endpoint, holePunching: holePunching(endpoint, peers) }))

  return {
    ok: peers.every(({ reached, source }) => reached && source?.kind === 'reused') && inbound.every(({ reached }) => reached),
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
  return sourcesOf(peers).filter(source => source.kind === 'reused' || source.why !== 'simultaneous_open')
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
 * How many dials from the listening port did not get through a network. Dials that came from
 * another port for a reason of this machine, such as a setting, say nothing about a network
 */
export function countBlocked (peers: PeerResult[]): number {
  return sourcesOf(peers).filter(source => source.kind === 'ephemeral' && BLOCKED.includes(source.why)).length
}

function sourcesOf (peers: PeerResult[]): Source[] {
  return peers.map(({ source }) => source).filter(source => source != null)
}

/** The peers that were dialed over the IP version of this endpoint */
export function dialedFrom ({ listening }: Pick<ObservedResult, 'listening'>, peers: PeerResult[]): PeerResult[] {
  return peers.filter(({ source }) => source != null && ipVersion(source.address) === ipVersion(listening))
}

/** `IPv4` or `IPv6` */
export function ipVersion (address: string): string {
  return address.startsWith('/ip4/') ? 'IPv4' : 'IPv6'
}

/**
 * A hole punch comes from the listening port, and goes to the external address that other
 * peers have observed
 */
function holePunching (endpoint: ObservedResult, peers: PeerResult[]): Likelihood {
  const { behindNat, natMapping } = endpoint
  const dialed = dialedFrom(endpoint, peers)
  const blocked = countBlocked(dialed)

  if (blocked > 0) {
    return blocked >= BLOCKED_BY_NETWORK && portsReused(dialed) === 'none' ? 'unlikely' : 'unknown'
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
