import { getNetConfig, tryGetNetConfig } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { OBSERVERS_NEEDED, dialedFrom, ipVersion, portsReused } from './verdict.ts'
import type { CheckResult, EndpointVerdict, PeerResult, Verdict } from './result.ts'

/**
 * The result as text for the user: a table of the peers, then the verdict
 *
 * @param result - what was found out
 * @param setting - the value of the environment variable LIBP2P_TCP_REUSEPORT
 */
export function report (result: CheckResult, setting?: string): string {
  const { listening, peers } = result

  const lines = [
    `listening on ${listening.map(endpoint => `port ${getNetConfig(multiaddr(endpoint)).port} (${ipVersion(endpoint)})`).join(' and ')}`,
    '',
    ...table(peers),
    '',
    ...verdict(result),
    ...(result.verdict.portsReused === 'none' && setting != null ? [`The environment variable LIBP2P_TCP_REUSEPORT is '${setting}'.`] : [])
  ]

  return lines.map(line => `${printable(line)}\n`).join('')
}

const COLUMNS = ['peer', 'dialed from', 'reused', 'peer saw', 'connected in', 'round trip']
const GAP = '  '

/**
 * What a row has no room for is below it
 */
function table (peers: PeerResult[]): string[] {
  const rows = peers.map(cells)
  const widths = COLUMNS.map((column, i) => Math.max(...[column, ...rows.map(row => row[i])].map(cell => cell.length)))
  const format = (row: string[]): string => row.map((cell, i) => cell.padEnd(widths[i])).join(GAP).trimEnd()

  return [
    format(COLUMNS),
    ...peers.flatMap(({ error, source }, i) => [
      format(rows[i]),
      ...(source?.because == null ? [] : [`${GAP}not from a listening port: ${source.because}`]),
      ...(error == null ? [] : [`${GAP}${error}`])
    ])
  ]
}

function cells ({ address, connectMs, latencyMs, observed, source }: PeerResult): string[] {
  return [
    withShortPeerId(address),
    source == null ? '-' : `${source.port}`,
    source == null ? '-' : yesOrNo(source.reused),
    observed == null ? '-' : hostAndPort(observed),
    duration(connectMs),
    duration(latencyMs)
  ]
}

function verdict ({ localPeers, peers, verdict }: CheckResult): string[] {
  return [
    ...unreached(peers),
    ...(verdict.portsReused === 'unknown' ? [] : [reuse(peers, verdict), ...outside(localPeers, peers, verdict)])
  ]
}

function unreached (peers: PeerResult[]): string[] {
  const { length } = peers.filter(({ reached }) => !reached)

  if (length === peers.length) {
    return ['No peer could be reached.']
  }

  return length === 0 ? [] : [`${length} of ${peers.length} peers could not be reached.`]
}

function outside (localPeers: boolean, peers: PeerResult[], { endpoints }: Verdict): string[] {
  return localPeers
    ? [`Peers on this machine can not tell an external address or what a NAT does. Name some on the Internet, ${OBSERVERS_NEEDED} to be sure: reuseport-check /ip4/…/tcp/…`]
    : endpoints.flatMap(endpoint => seenFromOutside(endpoint, dialedFrom(endpoint, peers)))
}

function reuse (peers: PeerResult[], { because, portsReused }: Verdict): string {
  const dialed = peers.filter(({ source }) => source != null)

  switch (portsReused) {
    case 'all':
      return `Ports are reused: ${all(dialed.length)} came from the port that is listened on.`
    case 'none':
      return `Ports are not reused: ${because.join('; ')}.`
    default:
      return `Ports are reused for ${dialed.filter(({ source }) => source?.reused === true).length} of ${count(dialed.length, 'dial')}; otherwise ${because.join('; ')}.`
  }
}

/**
 * The external address, the NAT, and hole punching
 *
 * @param endpoint - what was found out
 * @param dialed - the peers that were dialed over its IP version
 */
function seenFromOutside (endpoint: EndpointVerdict, dialed: PeerResult[]): string[] {
  const version = ipVersion(endpoint.listening)

  return endpoint.addresses.length === 0
    ? [`Over ${version}, external address and NAT are unknown: ${whyUnseen(version, dialed)}.`, ...holePunchingIfUnseen(endpoint)]
    : [`${externalAddress(version, endpoint)} ${nat(endpoint)}`, holePunching(version, endpoint, dialed)]
}

function whyUnseen (version: string, dialed: PeerResult[]): string {
  switch (portsReused(dialed)) {
    case 'unknown':
      return `no peer was reached over ${version}`
    case 'none':
      return 'no dial came from the port that is listened on'
    default:
      return 'no peer sees this node at a public address'
  }
}

function holePunchingIfUnseen ({ holePunching }: EndpointVerdict): string[] {
  return holePunching === 'unlikely' ? ['Hole punching is unlikely to work: it takes dials from the port that is listened on.'] : []
}

function externalAddress (version: string, { addresses, natMapping }: EndpointVerdict): string {
  const [{ address, observers }] = addresses

  if (addresses.length > 1 && natMapping !== 'endpoint-independent') {
    return `Over ${version}, peers see this node at ${addresses.length} different external addresses.`
  }

  const all = observersOf(addresses)

  return `Over ${version}, the external address is ${hostAndPort(address)} (${all === observers ? '' : `${observers} of `}${count(all, 'observer')}).`
}

function observersOf (addresses: EndpointVerdict['addresses']): number {
  return addresses.reduce((sum, { observers }) => sum + observers, 0)
}

function nat ({ addresses, behindNat, natMapping }: EndpointVerdict): string {
  if (behindNat === false) {
    return 'It is an address of this machine: there is no NAT.'
  }

  switch (natMapping) {
    case 'endpoint-independent':
      return 'The NAT mapping is endpoint-independent: it does not matter who is dialed.'
    case 'endpoint-dependent':
      return 'The NAT mapping is endpoint-dependent: each peer sees another address.'
    default: {
      const missing = Math.max(1, OBSERVERS_NEEDED - observersOf(addresses))

      return `The NAT mapping is unknown: to be sure, ask ${count(missing, 'more peer')} at ${missing === 1 ? 'another address' : 'other addresses'}.`
    }
  }
}

function holePunching (version: string, { holePunching, natMapping }: EndpointVerdict, dialed: PeerResult[]): string {
  switch (holePunching) {
    case 'likely':
      return `Hole punching over ${version} is likely to work.`
    case 'unlikely':
      return `Hole punching over ${version} is unlikely to work, except with peers that anybody can reach: those with a public address or behind a full-cone NAT.`
    default:
      return `Whether hole punching over ${version} works is unknown, because ${portsReused(dialed) === 'some' ? 'not all dials came from the port that is listened on' : 'the NAT mapping is unknown'}.`
  }
}

function all (dials: number): string {
  return ['the dial', 'both dials'][dials - 1] ?? `all ${dials} dials`
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

/**
 * Peers may claim to see any multiaddr
 */
function hostAndPort (address: string): string {
  const { host, port, type } = tryGetNetConfig(multiaddr(address)) ?? {}

  if (host == null || port == null) {
    return address
  }

  return type === 'ip6' ? `[${host}]:${port}` : `${host}:${port}`
}

function withShortPeerId (address: string): string {
  return address.replaceAll(/\w{40,}(?=\w{6})/g, '…')
}

/**
 * Some of the text comes from peers, and must not reach the terminal as commands
 */
function printable (text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ')
}
