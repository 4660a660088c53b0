import type { NatMapping, SourcePort } from '../index.ts'

/**
 * What the command finds out. With `--json` this is what it prints, so a field that
 * is here stays
 */
export interface CheckResult {
  /**
   * The id of the node that dialed; a new one each time
   */
  peerId: string

  /**
   * What it listened on, as multiaddrs
   */
  listening: string[]

  /**
   * Were the peers started by the command, on this machine?
   */
  localPeers: boolean
  peers: PeerResult[]
  verdict: Verdict
}

/**
 * What became of the dial to one peer
 */
export interface PeerResult {
  /**
   * The multiaddr that was dialed
   */
  address: string
  peerId: string | null

  /**
   * Was there a libp2p connection?
   */
  reached: boolean

  /**
   * Where the dial came from; `null` if nothing connected
   */
  source: SourceResult | null

  /**
   * The multiaddr that the peer says it was dialed from
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

export interface SourceResult {
  /**
   * The local end of the connection, as a multiaddr
   */
  address: string
  port: number

  /**
   * Is it the port that is listened on?
   */
  reused: boolean
  reason: SourcePort['reason']

  /**
   * Why the port is not the one that is listened on
   */
  because: string | null
}

/**
 * What peers see a listening endpoint as
 */
export interface ObservedResult {
  /**
   * The listening endpoint, as a multiaddr
   */
  listening: string

  /**
   * The public addresses that peers saw it at, as multiaddrs, those that most
   * observers agree on first
   */
  addresses: Array<{ address: string, observers: number }>

  /**
   * `false` if all of them are addresses of this machine, `null` if there are none
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
   * Why a dial came from another port: the different reasons
   */
  because: string[]
  endpoints: EndpointVerdict[]

  /**
   * Through the best of the endpoints
   */
  holePunching: Likelihood
}
