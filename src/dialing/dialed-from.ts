import type { Endpoint } from '../endpoint.ts'
import type { ReuseReason } from '../port-reuse/choose-source.ts'

/**
 * Where a connection was dialed from, and why from there: from a listening endpoint, by the
 * rule that selected it; from an ephemeral port; or from none
 */
export type DialedFrom =
  { readonly reason: ReuseReason, readonly local: Endpoint, readonly remote: Endpoint } |
  { readonly reason: 'ephemeral' } & BecauseOf |
  { readonly reason: 'unix' }

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

/** Why no listening port was used */
export interface BecauseOf {
  readonly because: EphemeralReason

  /** The same for people */
  readonly message: string
}
