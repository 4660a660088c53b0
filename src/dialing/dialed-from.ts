import type { Endpoint } from '../endpoint.ts'
import type { ReuseRule } from '../port-reuse/choose-source.ts'

/**
 * Where a connection was dialed from, and why from there: from a listening endpoint, by the
 * rule that selected it; from an ephemeral port; or from none
 */
export type DialedFrom =
  { readonly kind: 'reused', readonly rule: ReuseRule, readonly local: Endpoint, readonly remote: Endpoint } |
  FromEphemeral |
  { readonly kind: 'unix' }

/**
 * Why a dial came from an ephemeral port:
 *
 * - `turned_off`: port reuse is turned off
 * - `unavailable`: it is not possible on this machine
 * - `no_listener`: no listener can be dialed from
 * - `suspended`: several peers could not be reached from the listening port
 * - `unusable`: the listening port can't be used for this destination
 * - `faster`: it got no answer, and the ephemeral port connected
 * - `refused`: it was refused, and the ephemeral port connected
 * - `simultaneous_open`: the dial from it met the peer's own dial, so this is the second one
 */
export type EphemeralReason =
  'turned_off' | 'unavailable' | 'no_listener' | 'suspended' | 'unusable' | 'faster' | 'refused' | 'simultaneous_open'

/** No listening port was used */
export interface FromEphemeral {
  readonly kind: 'ephemeral'

  /** To branch on */
  readonly why: EphemeralReason

  /** To read */
  readonly message: string
}

/** What the metrics call it */
export function sourceLabel (from: DialedFrom): string {
  switch (from.kind) {
    case 'unix': return 'unix'
    case 'ephemeral': return `ephemeral_${from.why}`
    default: return `reused_${from.rule}`
  }
}
