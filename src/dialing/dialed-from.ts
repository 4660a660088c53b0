import type { Endpoint } from '../endpoint.ts'
import type { ReuseReason } from '../port-reuse/choose-source.ts'

/**
 * Where a connection was dialed from, and why from there
 */
export type DialedFrom = FromListener | FromEphemeral | FromUnix

interface FromListener {
  /**
   * The rule that selected the listening endpoint
   */
  readonly reason: ReuseReason

  /**
   * The listening endpoint
   */
  readonly local: Endpoint

  /**
   * The destination
   */
  readonly remote: Endpoint
}

export interface FromEphemeral {
  readonly reason: 'ephemeral'

  /**
   * Why no listening port was used: port reuse is turned off or not to be had here, no
   * listener can be dialed from, peers do not answer the listening port, it can't be used
   * for this destination, or the ephemeral port was faster
   */
  readonly because: 'turned_off' | 'unavailable' | 'no_listener' | 'suspended' | 'unusable' | 'faster'

  /**
   * The same for people
   */
  readonly message: string
}

interface FromUnix {
  readonly reason: 'unix'
}
