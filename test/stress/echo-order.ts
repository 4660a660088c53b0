/**
 * What a dialer asks an echo peer to do with a connection. It is sent ahead of
 * the bytes to echo
 */
export interface EchoOrder {
  /**
   * The port that the dialer believes to dial from
   */
  from: number

  /**
   * How many bytes follow
   */
  size: number

  /**
   * Close the connection when all of them are echoed
   */
  close?: boolean

  /**
   * Reset the connection once this many have arrived
   */
  resetAt?: number
}

export const ORDER_LENGTH = 16

const NEVER = 0xffffffff

export function encodeOrder ({ from, size, close = false, resetAt = NEVER }: EchoOrder): Uint8Array {
  const order = new DataView(new ArrayBuffer(ORDER_LENGTH));
  [from, size, Number(close), resetAt].forEach((value, i) => { order.setUint32(i * 4, value) })

  return new Uint8Array(order.buffer)
}

export function decodeOrder (encoded: Uint8Array): EchoOrder {
  const order = new DataView(encoded.buffer, encoded.byteOffset, ORDER_LENGTH)
  const [from, size, close, resetAt] = [0, 4, 8, 12].map(offset => order.getUint32(offset))

  return { from, size, close: close === 1, resetAt: resetAt === NEVER ? undefined : resetAt }
}
