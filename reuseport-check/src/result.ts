import type { EphemeralReason, NatMapping, PortReuseSupport, ReuseRule } from 'libp2p-reuseport-tcp'

/**
 * What the command finds out. With `--json` this is what it prints, so a field that
 * is here stays. Addresses are multiaddrs, `null` is what is not known
 */
export interface CheckResult {
  /**
   * The id of the node that dialed; a new one each time
   */
  peerId: string
  listening: string[]

  /**
   * How ports are reused on this machine, or why they can't be
   */
  portReuse: PortReuseSupport

  /**
   * Where a node with `@libp2p/tcp` listened
   */
  libp2pTcpListening: string[]

  /**
   * Were the peers started by the command, on this machine?
   */
  localPeers: boolean
  peers: PeerResult[]
  verdict: Verdict
}

/**
 * What became of the dial to one peer, and of the same with `@libp2p/tcp`
 */
export interface PeerResult extends Answer {
  address: string
  libp2pTcp: Answer
}

export interface Answer {
  peerId: string | null

  /**
   * Was there a libp2p connection?
   */
  reached: boolean

  /**
   * The local end of the connection. `@libp2p/tcp` does not tell it
   */
  source: Source | null

  /**
   * Where the peer says it was dialed from
   */
  observed: string | null

  /**
   * From the beginning of the dial to a connection that can be used, in ms
   */
  connectMs: number | null

  /**
   * The median of a few round trips over this connection, in ms
   */
  latencyMs: number | null

  /**
   * Why there is no further answer from this peer
   */
  error: string | null
}

/**
 * The local end of a connection, and which rule selected the port that is listened on, or why
 * it is another one
 */
export type Source = { address: string, port: number } & (
  { kind: 'reused', rule: ReuseRule } |
  { kind: 'ephemeral', why: EphemeralReason, message: string }
)

/**
 * What peers see a listening endpoint as
 */
export interface ObservedResult {
  listening: string

  /**
   * The public ones that peers saw it at, those that most observers agree on first
   */
  addresses: Array<{ address: string, observers: number }>

  /**
   * `false` if all of them are addresses of this machine
   */
  behindNat: boolean | null
  natMapping: NatMapping
}

export interface EndpointVerdict extends ObservedResult {
  holePunching: Likelihood
}

export type Likelihood = 'likely' | 'unlikely' | 'unknown'

/**
 * How many dials came from a listening port; `unknown` if there was none
 */
export type Share = 'all' | 'some' | 'none' | 'unknown'

export interface Verdict {
  /**
   * Were all peers reached, and dialed from a listening port?
   */
  ok: boolean
  portsReused: Share

  /**
   * The different reasons why a dial came from another port
   */
  because: string[]
  endpoints: EndpointVerdict[]

  /**
   * Through the best of the endpoints
   */
  holePunching: Likelihood
}
