import type { Expected, Outcome } from './nat-pairs.ts'
import type { Implementation } from '../interop/implementations.ts'
import type { Peer } from '../interop/peer.ts'
import type { Lab, LabOptions } from '../lab/lab.ts'
import type { Namespace } from '../lab/namespace.ts'

/** One way, in ms, if not said otherwise */
export const LATENCY = 20

/** What the machines of the two peers are called in their addresses */
export const MACHINES = [11, 12]

/** One of the two peers */
export interface Side {
  machine: Namespace

  /** This package if not said otherwise */
  implementation?: Implementation

  /** What it listens on. IPv4 by default */
  families?: Array<'ip4' | 'ip6'>

  /** Where it reaches the relay. By IPv4 by default */
  relay?: 'ip4' | 'ip6' | 'onlyIp6'

  /** How many public nodes it dials beside the relay. They tell it its address. None by default */
  asks?: number

  /** How many of them it dials at a time. All by default */
  asksAtOnce?: number

  /** Does it announce its address, although it may not be dialable? */
  isAnnounced?: boolean

  /** How many other new connections its machine makes through its NAT, in a second */
  otherFlows?: number

  /** What it must find out about its NAT from the nodes that it asks */
  expected?: Expected
}

/** Two peers connect over a relay and punch a hole */
export interface Scene {
  names: [string, string]
  sides(lab: Lab): Promise<[Side, Side]>
  expected: Outcome
  runs: number

  /** What is different, and why it comes out as expected */
  special?: string
  because?: string

  /**
   * The peer that dials over the relay. It is the initiator of the direct connection. The first
   * one by default
   */
  dials?: 'first' | 'in turn'

  /** Is the dialing peer connected to the relay before it dials the other one? */
  isConnected?: boolean
  lab?: Partial<LabOptions>

  /**
   * What relays: a node of js-libp2p, with limits or without, or another implementation.
   * With limits by default
   */
  relay?: 'limited' | 'unlimited' | 'go' | 'rust'

  /** Are all in a private network? */
  isPrivate?: boolean

  /**
   * Frames that are lost in each round, given where the peer that dials over the relay, the other
   * one and the relay listen
   */
  drop?(ends: Record<'dialer' | 'dialed' | 'relay', string>): Parameters<Lab['drop']>

  /**
   * How many attempts there may be, and how many rounds may go wrong. By default this does
   * not matter, and none
   */
  attempts?: number
  mayFail?: number

  /** Is called when the peer that dialed over the relay and the other one have a direct connection */
  onDirect?(dialer: Peer, dialed: Peer): Promise<void>

  /** How many rounds are played at a time */
  atOnce?: number
}
