import type { Role } from '../upgrading/roles.ts'
import type { Connection, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

/**
 * Why there is no direct connection after a hole punch:
 *
 * - `timeout`: no dial was answered in time
 * - `refused`: the dials were refused or reset
 * - `error`: the dials failed with another error
 * - `not_dialed`: nothing was dialed. The peer did not exchange addresses, or it named none that
 * may be dialed
 * - `busy`: too many hole punches were waiting already
 * - `stopped`: the service was stopped
 */
export type HolePunchFailure = 'timeout' | 'refused' | 'error' | 'not_dialed' | 'busy' | 'stopped'

/**
 * The result of a hole punch:
 *
 * - `succeeded`: there is a direct connection. Its `remoteAddr` is the address that it uses
 * - `failed`: there is none. `why` is for programs to compare, `message` for humans to read
 */
export type HolePunchResult =
  { readonly kind: 'succeeded', readonly connection: Connection } |
  { readonly kind: 'failed', readonly why: HolePunchFailure, readonly message: string }

/** One attempt of a hole punch: addresses have been exchanged, and the dials begin */
export interface HolePunchAttempt {
  readonly peer: PeerId

  /**
   * The role of this node (libp2p specs, `relay/DCUtR.md`): `initiator` if it dialed the peer over
   * the relay, `responder` if the peer dialed this node. The responder coordinates
   */
  readonly role: Role

  /** Counts the attempts over the same relayed connection, from 1 */
  readonly attempt: number

  /** The addresses of the peer that are dialed */
  readonly multiaddrs: readonly Multiaddr[]
}

/** A hole punch that has ended */
export interface HolePunchEnd {
  readonly peer: PeerId
  readonly role: Role

  /**
   * How many attempts there were over the relayed connection. 0 and `succeeded`: there was a
   * direct connection without a punch, as the responder could dial an announced address
   */
  readonly attempts: number

  /** How long the hole punch took until there was a direct connection, or until it failed, in ms */
  readonly ms: number
  readonly result: HolePunchResult
}

/** The events of the hole punching service */
export interface DcutrEvents {
  'hole-punch:attempt': CustomEvent<HolePunchAttempt>

  /**
   * A responder tells the end after its last attempt, an initiator after each attempt: only the
   * responder knows whether it tries again
   */
  'hole-punch:end': CustomEvent<HolePunchEnd>
}

/** What is known about the hole punch over a relayed connection */
export interface Progress {
  attempts: number

  /** The direct connection that this end has opened, or has got in an attempt */
  connection?: Connection

  /** The error of the last attempt */
  error?: Error
}

/** Why a hole punch failed. `error` is the error of the exchange, if it failed with one */
export function failureOf (last: Progress, stopped: AbortSignal, error?: Error): { why: HolePunchFailure, message: string } {
  const { message } = last.error ?? error ?? new Error('The peer did not exchange addresses, or named none that may be dialed')

  if (stopped.aborted) {
    return { why: 'stopped', message }
  }

  return { why: last.error == null ? 'not_dialed' : reasonOf(last.error), message }
}

/** The reason why all dials of an attempt failed */
export function reasonOf ({ name, code }: NodeJS.ErrnoException): 'timeout' | 'refused' | 'error' {
  if (name === 'AbortError' || name === 'TimeoutError' || code === 'ETIMEDOUT') {
    return 'timeout'
  }

  return code === 'ECONNREFUSED' || code === 'ECONNRESET' ? 'refused' : 'error'
}
