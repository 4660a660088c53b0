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
  const lost = peers.filter(({ reached }) => !reached).length

  return [
    ...(lost === 0 ? [] : [`${lost} of ${count(peers.length, 'peer')} could not be reached.`]),
    reuse(peers, verdict),
    ...(localPeers
      ? ['Peers on this machine can not tell an external address or what a NAT does. Name peers', `on the Internet to find out, ${OBSERVERS_NEEDED} of them to be sure: reuseport-check /ip4/…/tcp/…`]
      : verdict.endpoints.flatMap(endpoint => seenFromOutside(endpoint, dialedFrom(endpoint, peers))))
  ]
}

function reuse (peers: PeerResult[], { because, portsReused }: Verdict): string {
  const dialed = peers.filter(({ source }) => source != null)
  const reused = dialed.filter(({ source }) => source?.reused === true).length

  switch (portsReused) {
    case 'all':
      return `Ports are reused: ${dialed.length === 1 ? 'the dial' : `all ${dialed.length} dials`} came from the port that is listened on.`
    case 'some':
      return `Ports are reused for ${reused} of ${count(dialed.length, 'dial')}; otherwise ${because.join('; ')}.`
    case 'none':
      return `Ports are not reused: ${because.join('; ')}.`
    default:
      return 'Nothing connected, so there is nothing to say about ports.'
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
      return `no peer was dialed over ${version}`
    case 'none':
      return 'no dial came from the port that is listened on'
    default:
      return 'no peer sees this node at a public address'
  }
}

function holePunchingIfUnseen ({ holePunching }: EndpointVerdict): string[] {
  return holePunching === 'unlikely' ? ['Hole punching is unlikely to work: it takes dials from the port that is listened on.'] : []
}

function externalAddress (version: string, { addresses }: EndpointVerdict): string {
  const seen = addresses.map(({ address, observers }) => `${hostAndPort(address)} (${count(observers, 'observer')})`)

  return `Over ${version}, the external address is ${seen.join(' or ')}.`
}

function nat ({ addresses, behindNat, natMapping }: EndpointVerdict): string {
  if (behindNat === false) {
    return 'It is an address of this machine: there is no NAT.'
  }

  switch (natMapping) {
    case 'endpoint-independent':
      return 'The NAT mapping is endpoint-independent: all peers see the same address.'
    case 'endpoint-dependent':
      return 'The NAT mapping is endpoint-dependent: each peer sees another address.'
    default: {
      const observers = addresses.reduce((sum, { observers }) => sum + observers, 0)
      const missing = Math.max(1, OBSERVERS_NEEDED - observers)

      return `The NAT mapping is unknown: to be sure, ask ${count(missing, 'more peer')} at ${missing === 1 ? 'another address' : 'other addresses'}.`
    }
  }
}

function holePunching (version: string, { holePunching, natMapping }: EndpointVerdict, dialed: PeerResult[]): string {
  switch (holePunching) {
    case 'likely':
      return `Hole punching over ${version} is likely to work.`
    case 'unlikely':
      return `Hole punching over ${version} is unlikely to work, but with peers that anybody can reach: those with a public address or behind a full-cone NAT.`
    default:
      return `Whether hole punching over ${version} works is unknown, as ${portsReused(dialed) === 'some' ? 'not all dials came from the port that is listened on' : 'the NAT mapping is'}.`
  }
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
