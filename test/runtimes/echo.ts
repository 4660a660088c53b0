import { randomBytes } from 'node:crypto'
import { expect } from 'aegir/chai'
import { pEvent } from 'p-event'
import type { MessageStream, StreamMessageEvent } from '@libp2p/interface'

/**
 * How much is sent, in bytes
 */
export const LENGTH = 100_000

/**
 * Sends back all that arrives
 */
export function echo (stream: MessageStream): void {
  stream.addEventListener('message', ({ data }) => { stream.send(data) })
}

/**
 * Sends random bytes to a peer that echoes, and expects them back
 */
export async function sendAndReceive (stream: MessageStream): Promise<void> {
  const sent = randomBytes(LENGTH)
  const received: Uint8Array[] = []
  let length = 0

  const complete = pEvent<'message', StreamMessageEvent>(stream, 'message', {
    filter: ({ data }) => {
      received.push(data.subarray())
      length += data.byteLength

      return length >= LENGTH
    }
  })

  stream.send(sent)
  await complete
  expectEqual(received, sent)
}

export function expectEqual (received: Uint8Array[], sent: Uint8Array): void {
  // chai would print all of it
  expect(Buffer.concat(received).equals(sent), 'the bytes are the same').to.equal(true)
}
