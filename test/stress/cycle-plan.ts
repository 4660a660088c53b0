import fc from 'fast-check'
import { choose } from './random.ts'

/**
 * How a cycle is meant to end
 */
export type Fate =
  'closed by us' |
  'closed by the peer' |
  'half-closed by us' |
  'reset by the peer' |
  'aborted while connecting' |
  'aborted while echoing'

/**
 * One cycle: dial, echo, close
 */
export interface CyclePlan {
  fate: Fate

  /**
   * Which of the peers to dial
   */
  peer: number

  /**
   * Where the bytes to echo begin, in the pool of random bytes
   */
  offset: number
  size: number

  /**
   * After how many bytes it is aborted or reset
   */
  cutAt: number

  /**
   * Which of the moments to abort at, while connecting
   */
  moment: number
}

export const MAX_SIZE = 200_000

/**
 * A third aborted, a tenth reset
 */
const FATES = fc.oneof<Array<fc.WeightedArbitrary<Fate>>>(
  { weight: 5, arbitrary: fc.constant('aborted while connecting') },
  { weight: 5, arbitrary: fc.constant('aborted while echoing') },
  { weight: 3, arbitrary: fc.constant('reset by the peer') },
  { weight: 17, arbitrary: fc.constantFrom('closed by us', 'closed by the peer', 'half-closed by us') }
)

export function planCycle (seed: number, index: number, { peers, offsets, moments }: { peers: number, offsets: number, moments: number }): CyclePlan {
  return choose(seed * 1_000_003 + index, fc.integer({ min: 1, max: MAX_SIZE }).chain(size => fc.record({
    fate: FATES,
    peer: fc.nat(peers - 1),
    offset: fc.nat(offsets - 1),
    size: fc.constant(size),
    // the last byte may have been echoed already
    cutAt: fc.nat(size - 1),
    moment: fc.nat(moments - 1)
  })))
}
