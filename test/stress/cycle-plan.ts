import { integer, pick, seededRandom } from './random.ts'

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

const GRACEFUL: Fate[] = ['closed by us', 'closed by the peer', 'half-closed by us']

export function planCycle (seed: number, index: number, { peers, offsets, moments }: { peers: number, offsets: number, moments: number }): CyclePlan {
  const random = seededRandom(seed * 1_000_003 + index)
  const size = integer(random, 1, MAX_SIZE)

  return {
    fate: pickFate(random(), pick(random, GRACEFUL)),
    peer: integer(random, 0, peers - 1),
    offset: integer(random, 0, offsets - 1),
    size,
    // the last byte may have been echoed already
    cutAt: integer(random, 0, size - 1),
    moment: integer(random, 0, moments - 1)
  }
}

/**
 * A third aborted, a tenth reset
 */
function pickFate (chance: number, graceful: Fate): Fate {
  if (chance < 1 / 6) {
    return 'aborted while connecting'
  }

  if (chance < 1 / 3) {
    return 'aborted while echoing'
  }

  return chance < 1 / 3 + 1 / 10 ? 'reset by the peer' : graceful
}
