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

/** Why no listening port was used */
export interface BecauseOf {
  /**
   * Port reuse is turned off or not to be had here, no listener can be dialed from, peers do
   * not answer the listening port, it can't be used for this destination, or the ephemeral
   * port was faster
   */
  readonly because: 'turned_off' | 'unavailable' | 'no_listener' | 'suspended' | 'unusable' | 'faster'

  /** The same for people */
  readonly message: string
}
