import { tryGetNetConfig } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { markdownTable } from 'markdown-table'
import { endpointOf } from './command-line.ts'
import { OBSERVERS_NEEDED, countBlocked, dialedFrom, ipVersion, portsReused, telling } from './verdict.ts'
import type { CheckResult, EndpointVerdict, PeerResult, Verdict } from './result.ts'

export interface ReportOptions {
  /** The width of the terminal, if the text goes to one */
  columns?: number

  /** The value of the environment variable LIBP2P_TCP_REUSEPORT */
  setting?: string
}

/** The result as text for the user: a table of the peers, then the verdict */
export function report (result: CheckResult, { columns = Infinity, setting }: ReportOptions = {}): string {
  const { libp2pTcpListening, listening, peers, portReuse } = result

  return [
    `reuseportTcp listens on ${ports(listening)}`,
    `@libp2p/tcp  listens on ${ports(libp2pTcpListening)}`,
    portReuse.available ? `Ports can be reused on this machine, by ${portReuse.name}` : `Ports are not reused on this machine: ${portReuse.why}`,
    ...table(peers, columns),
    ...peers.flatMap(notes),
    '',
    ...verdict(result),
    ...(result.verdict.portsReused === 'none' && setting != null ? [`The environment variable LIBP2P_TCP_REUSEPORT is '${setting}'.`] : [])
  ].map(line => `${printable(line)}\n`).join('')
}

function ports (endpoints: string[]): string {
  return `port ${endpoints.map(endpoint => `${portOf(endpoint)} (${ipVersion(endpoint)})`).join(' and ')}`
}

const TITLES = ['peer', 'dialed from', 'reused', 'peer saw', 'connected in', 'round trip', 'with @libp2p/tcp']

/** One line for each peer. If that is too wide, one line for each value */
function table (peers: PeerResult[], columns: number): string[] {
  const rows = peers.map(({ address, connectMs, latencyMs, libp2pTcp, observed, source }) => [
    endpointOf(multiaddr(address)),
    `${source?.port ?? '-'}`,
    source == null ? '-' : yesOrNo(source.kind === 'reused'),
    hostAndPort(observed),
    duration(connectMs),
    duration(latencyMs),
    hostAndPort(libp2pTcp.observed)
  ])
  const lines = markdownTable([TITLES, ...rows]).split('\n')

  if (lines[0].length <= columns) {
    return lines
  }

  const width = Math.max(...TITLES.map(({ length }) => length))

  return rows.flatMap(([peer, ...values]) => [peer, ...values.map((value, i) => `  ${TITLES[i + 1].padEnd(width)}  ${value}`)])
}

/** Details that do not fit into the table */
function notes ({ address, error, libp2pTcp, source }: PeerResult): string[] {
  const notes = [
    source?.kind === 'ephemeral' ? `not from a listening port: ${source.message}` : null,
    error,
    libp2pTcp.error == null || (error != null && libp2pTcp.error.endsWith(error)) ? null : `with @libp2p/tcp: ${libp2pTcp.error}`
  ]

  return notes.filter(note => note != null).map(note => `${endpointOf(multiaddr(address))}: ${note}`)
}

function verdict ({ inbound, libp2pTcpListening, localPeers, peers, verdict }: CheckResult): string[] {
  const unreached = peers.filter(({ reached }) => !reached).length
  const lines: string[] = []

  if (unreached > 0) {
    lines.push(unreached === peers.length ? 'No peer could be reached.' : `${unreached} of ${peers.length} peers could not be reached.`)
  }

  if (verdict.portsReused !== 'unknown') {
    lines.push(reuse(peers, verdict))
  }

  lines.push(...inbound.filter(({ reached }) => !reached).map(({ address, error }) => `The port accepts no connections at ${address} while dials come from there: ${error}`))
  lines.push(...libp2pTcp(libp2pTcpListening, peers))

  if (localPeers) {
    lines.push('Peers on this machine can not tell an external address or what a NAT does. To ask peers on the Internet: reuseport-check --public')
  } else if (verdict.portsReused !== 'unknown') {
    lines.push(...verdict.endpoints.flatMap(endpoint => seenFromOutside(endpoint, dialedFrom(endpoint, peers))))
  }

  return lines
}

function reuse (peers: PeerResult[], { because, portsReused }: Verdict): string {
  const dialed = telling(peers)
  const all = ['the dial', 'both dials'][dialed.length - 1] ?? `all ${dialed.length} dials`

  switch (portsReused) {
    case 'all':
      return `Ports are reused: ${all} came from the port that is listened on.`
    case 'none':
      return `Ports are not reused: ${because.join('; ')}.`
    default:
      return `Ports are reused for ${dialed.filter(({ kind }) => kind === 'reused').length} of ${count(dialed.length, 'dial')}; otherwise ${because.join('; ')}.`
  }
}

function libp2pTcp (listening: string[], peers: PeerResult[]): string[] {
  const observed = peers.map(({ libp2pTcp }) => libp2pTcp.observed).filter(observed => observed != null)
  const other = observed.filter(observed => !listening.some(endpoint => portOf(endpoint) === portOf(observed)))

  return observed.length === 0 ? [] : [`With @libp2p/tcp, ${other.length} of ${count(observed.length, 'peer')} saw another port than the one that is listened on.`]
}

/**
 * The external address, the NAT, and hole punching
 *
 * @param endpoint - the result for this endpoint
 * @param dialed - the peers that were dialed over its IP version
 */
function seenFromOutside (endpoint: EndpointVerdict, dialed: PeerResult[]): string[] {
  const version = ipVersion(endpoint.listening)

  if (endpoint.addresses.length > 0) {
    return [`${externalAddress(version, endpoint)} ${nat(endpoint)}`, holePunching(version, endpoint, dialed)]
  }

  const why = {
    unknown: dialed.length === 0 ? `no peer was reached over ${version}` : 'the peers dialed this node at the same moment',
    none: 'no dial came from the port that is listened on',
    some: 'no peer sees this node at a public address',
    all: 'no peer sees this node at a public address'
  }[portsReused(dialed)]

  return [
    `Over ${version}, external address and NAT are unknown: ${why}.`,
    ...(endpoint.holePunching === 'unlikely' ? ['Hole punching is unlikely to work: it takes dials from the port that is listened on.'] : [])
  ]
}

function externalAddress (version: string, { addresses, natMapping }: EndpointVerdict): string {
  const [{ address, observers }] = addresses

  if (addresses.length > 1 && natMapping !== 'endpoint-independent') {
    return `Over ${version}, peers see this node at ${addresses.length} different external addresses.`
  }

  const all = observersOf(addresses)

  return `Over ${version}, the external address is ${hostAndPort(address)} (${all === observers ? '' : `${observers} of `}${count(all, 'observer')}).`
}

function nat ({ addresses, behindNat, natMapping }: EndpointVerdict): string {
  const missing = Math.max(1, OBSERVERS_NEEDED - observersOf(addresses))

  return behindNat === false
    ? 'It is an address of this machine: there is no NAT.'
    : {
        'endpoint-independent': 'The NAT mapping is endpoint-independent: it does not matter who is dialed.',
        'endpoint-dependent': 'The NAT mapping is endpoint-dependent: each peer sees another address.',
        unknown: `The NAT mapping is unknown: to be sure, ask ${count(missing, 'more peer')} at ${missing === 1 ? 'another address' : 'other addresses'}.`
      }[natMapping]
}

function holePunching (version: string, { holePunching }: EndpointVerdict, dialed: PeerResult[]): string {
  return {
    likely: `Hole punching over ${version} is likely to work.`,
    unlikely: `Hole punching over ${version} is unlikely to work, except with peers that anybody can reach: those with a public address or behind a full-cone NAT.`,
    unknown: `Whether hole punching over ${version} works is unknown, because ${countBlocked(dialed) > 0 ? 'not all dials came from the port that is listened on' : 'the NAT mapping is unknown'}.`
  }[holePunching]
}

function observersOf (addresses: EndpointVerdict['addresses']): number {
  return addresses.reduce((sum, { observers }) => sum + observers, 0)
}

function yesOrNo (value: boolean): string {
  return value ? 'yes' : 'no'
}

function count (n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`
}

function duration (ms: number | null): string {
  return ms == null ? '-' : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`
}

function portOf (address: string): number | undefined {
  return tryGetNetConfig(multiaddr(address))?.port
}

/** Peers may claim to see any multiaddr */
function hostAndPort (address: string | null): string {
  const { host, port, type } = address == null ? {} : tryGetNetConfig(multiaddr(address)) ?? {}

  return host == null || port == null ? address ?? '-' : `${type === 'ip6' ? `[${host}]` : host}:${port}`
}

/** Some of the text comes from peers. The terminal must not take it for commands */
function printable (text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ')
}
