import fc from 'fast-check'
import { bytes, choose } from './random.ts'

/**
 * What one exchange is like: the requester sends its request and a FIN, and reads on; the
 * replier sends its reply and ends
 */
export interface Exchange {
  seed: number

  /**
   * Does the one who dialed send the request?
   */
  dialerRequests: boolean
  request: Uint8Array
  reply: Uint8Array

  /**
   * How many bytes are sent in one piece
   */
  piece: number

  /**
   * How ours ends what it sends: `send` leaves it to the connection
   */
  end: 'send' | 'close' | 'closeWrite' | 'duplex'

  /**
   * Does the plain end take its time to read?
   */
  slow: boolean
}

const SHAPES = fc.record({
  dialerRequests: fc.boolean(),
  request: fc.integer({ min: 1, max: 500_000 }),
  reply: upToOneOf(1, 10_000, 1_000_000, 5_000_000),
  piece: upToOneOf(100, 2_000, 200_000),
  end: fc.constantFrom('send', 'close', 'closeWrite', 'duplex'),
  slow: fc.boolean()
})

/**
 * Even ones are dialed by us, odd ones by the plain end
 */
export function exchangeOf (firstSeed: number, n: number): Exchange {
  const seed = firstSeed + n
  const shape = choose(seed, SHAPES)

  return { ...shape, seed, request: bytes(`request ${seed}`, shape.request), reply: bytes(`reply ${seed}`, shape.reply) }
}

function upToOneOf (min: number, ...limits: number[]): fc.Arbitrary<number> {
  return fc.oneof(...limits.map(max => fc.integer({ min, max })))
}

export function * inPieces (data: Uint8Array, { piece }: Exchange): Generator<Uint8Array> {
  for (let i = 0; i < data.byteLength; i += piece) {
    yield data.subarray(i, i + piece)
  }
}

/**
 * The address of the plain end in the n-th exchange, by which both ends know which it is
 */
export function hostOf (n: number): string {
  return `127.1.${n >> 8}.${n & 255}`
}

export function numberOf (host: string): number {
  const [, , high, low] = host.split('.').map(Number)

  return high << 8 | low
}

/**
 * @throws {Error} if it is not what it should be, to the byte
 */
export function check (what: string, received: Uint8Array, expected: Uint8Array, { seed }: Exchange): void {
  if (Buffer.compare(received, expected) !== 0) {
    throw new Error(`exchange ${seed}: the ${what} has ${received.byteLength} of ${expected.byteLength} bytes, or wrong ones`)
  }
}
