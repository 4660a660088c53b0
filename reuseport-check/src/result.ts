import type { EphemeralReason, NatMapping, PortReuseSupport, ReuseRule } from 'libp2p-reuseport-tcp'

/**
 * The result of the command. `--json` prints it, so its fields must stay. Addresses are
 * multiaddrs. `null` means that a value is not known
 */
export interface CheckResult {
  /** The id of the node that dialed. It is a new one each time */
  peerId: string
  listening: string[]

  /** How ports are reused on this machine, or why they can't be */
  portReuse: PortReuseSupport

  /** Where a node with `@libp2p/tcp` listened */
  libp2pTcpListening: string[]

  /** Were the peers started by the command, on this machine? */
  localPeers: boolean
  peers: PeerResult[]
  inbound: InboundResult[]
  verdict: Verdict
}

/**
 * Does the node still accept connections at the address that a dial from the listening port has?
 */
export interface InboundResult {
  address: string
  reached: boolean
  error: string | null
}

/** The result of the dial to one peer, and of the same dial with `@libp2p/tcp` */
export interface PeerResult extends Answer {
  address: string
  libp2pTcp: Answer
}

export interface Answer {
  peerId: string | null

  /** Was there a libp2p connection? */
  reached: boolean

  /** The local end of the connection. `@libp2p/tcp` does not report it */
  source: Source | null

  /** The address from which the peer was dialed, as the peer saw it */
  observed: string | null

  /** The time from the start of the dial until the connection could be used, in ms */
  connectMs: number | null

  /** The median of several round trips over this connection, in ms */
  latencyMs: number | null

  /** Why the other fields of this peer are missing */
  error: string | null
}

/**
 * The local end of a connection. If it is a listening port: the rule that selected it. If not:
 * the reason
 */
export type Source = { address: string, port: number } & (
  { kind: 'reused', rule: ReuseRule } |
  { kind: 'ephemeral', why: EphemeralReason, message: string }
)

/** A listening endpoint, and how peers see it */
export interface ObservedResult {
  listening: string

  /** The public addresses at which peers saw it. The one with most observers comes first */
  addresses: Array<{ address: string, observers: number }>

  /** `false` if all these addresses are addresses of this machine */
  behindNat: boolean | null
  natMapping: NatMapping
}

export interface EndpointVerdict extends ObservedResult {
  holePunching: Likelihood
}

export type Likelihood = 'likely' | 'unlikely' | 'unknown'

/** How many dials came from a listening port. `unknown` if there was no dial */
export type Share = 'all' | 'some' | 'none' | 'unknown'

export interface Verdict {
  /**
   * Were all peers reached, and dialed from a listening port? Did that port still accept
   * connections?
   */
  ok: boolean
  portsReused: Share

  /** The different reasons why a dial came from another port */
  because: string[]
  endpoints: EndpointVerdict[]

  /** For the endpoint with the best chance */
  holePunching: Likelihood
}
