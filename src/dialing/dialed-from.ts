import type { Endpoint } from '../endpoint.ts'
import type { ReuseRule } from '../port-reuse/choose-source.ts'

/**
 * Where a connection was dialed from, and why:
 *
 * - `reused`: from a listening endpoint. `rule` selected it
 * - `ephemeral`: from an ephemeral port
 * - `unix`: to a unix socket, so from no port
 */
export type DialedFrom =
  { readonly kind: 'reused', readonly rule: ReuseRule, readonly local: Endpoint, readonly remote: Endpoint } |
  FromEphemeral |
  { readonly kind: 'unix' }

/**
 * Why a dial came from an ephemeral port:
 *
 * - `turned_off`: port reuse is turned off
 * - `unavailable`: port reuse is not possible on this machine
 * - `no_listener`: no listener can be dialed from
 * - `suspended`: several peers could not be reached from the listening port
 * - `unusable`: the listening port can't be used for this destination
 * - `faster`: the dial from the listening port got no answer, and the one from the ephemeral
 * port connected
 * - `refused`: the dial from the listening port was refused, and the one from the ephemeral
 * port connected
 * - `simultaneous_open`: the dial from the listening port met the peer's own dial, so this is a
 * second dial
 */
export type EphemeralReason =
  'turned_off' | 'unavailable' | 'no_listener' | 'suspended' | 'unusable' | 'faster' | 'refused' | 'simultaneous_open'

/** No listening port was used */
export interface FromEphemeral {
  readonly kind: 'ephemeral'

  /** For programs to compare */
  readonly why: EphemeralReason

  /** For humans to read */
  readonly message: string
}

/** The name of a source in the metrics */
export function sourceLabel (from: DialedFrom): string {
  switch (from.kind) {
    case 'unix': return 'unix'
    case 'ephemeral': return `ephemeral_${from.why}`
    default: return `reused_${from.rule}`
  }
}
