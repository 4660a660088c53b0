/**
 * A whole node. It counts and echoes what other nodes send, and sends itself
 */

import { multiaddr } from '@multiformats/multiaddr'
import pDefer from 'p-defer'
import { pEvent } from 'p-event'
import { serve } from '../../test/stress/participant.ts'
import { startNode } from '../contestants.ts'
import { CycleChecker, createCycle } from '../cycle.ts'
import { expectEqual } from '../expect.ts'
import { sendFor } from '../send-for.ts'
import type { Cycle } from '../cycle.ts'
import type { TransportName } from '../row.ts'
import type { Connection, Libp2p, Stream, StreamMessageEvent } from '@libp2p/interface'

export type StreamNode = typeof commands

const COUNT = '/benchmark/count'
const ECHO = '/benchmark/echo'

const REQUEST_SIZE = 64
const MESSAGE_SIZES = [100, 65_536]
const MAX_STREAMS = { maxInboundStreams: Infinity, maxOutboundStreams: Infinity }

let node: Libp2p
let connection: Connection

const commands = {
  async start (name: TransportName): Promise<string> {
    node = await startNode(name)
    await node.handle(ECHO, echo, MAX_STREAMS)

    for (const size of MESSAGE_SIZES) {
      const cycle = createCycle(size)
      await node.handle(`${COUNT}/${size}`, stream => { count(stream, cycle) })
    }

    return `${node.getMultiaddrs()[0]}`
  },

  async dial (address: string): Promise<void> {
    const identified = pEvent(node, 'peer:identify')
    connection = await node.dial(multiaddr(address))
    // it has streams of its own
    await identified
  },

  /**
   * Sends for so many ms on one stream
   *
   * @returns messages a second, from the first that is sent to the receiver's
   * answer, which comes when it has all
   */
  async stream (messageSize: number, ms: number): Promise<number> {
    const stream = await connection.newStream(`${COUNT}/${messageSize}`)
    const { messages } = createCycle(messageSize)
    const answer = pEvent<'message', StreamMessageEvent>(stream, 'message')
    let n = 0

    const start = performance.now()
    const sent = await sendFor(ms, stream, () => messages[n++ % messages.length])
    await stream.close()
    const { data } = await answer
    const seconds = (performance.now() - start) / 1000

    expectEqual('bytes that arrived', Number(Buffer.from(data.subarray()).readBigUInt64BE()), sent * messageSize)

    return sent / seconds
  },

  /**
   * Sends requests for so many ms, on so many streams, one at a time on each
   *
   * @returns responses a second
   */
  async request (streams: number, ms: number): Promise<number> {
    const open = await Promise.all(Array.from({ length: streams }, async () => connection.newStream(ECHO, MAX_STREAMS)))

    const start = performance.now()
    const responses = await Promise.all(open.map(async stream => requestFor(ms, stream)))
    const seconds = (performance.now() - start) / 1000

    await Promise.all(open.map(async stream => stream.close()))

    return responses.reduce((sum, n) => sum + n) / seconds
  }
}

serve(commands)

/**
 * Answers the end of the stream with the number of bytes, if they are the right
 * ones
 */
function count (stream: Stream, cycle: Cycle): void {
  const checker = new CycleChecker(cycle)

  stream.addEventListener('message', ({ data }) => {
    for (const part of data instanceof Uint8Array ? [data] : data) {
      checker.add(part)
    }
  })
  stream.addEventListener('remoteCloseWrite', () => {
    const answer = Buffer.alloc(8)
    answer.writeBigUInt64BE(BigInt(checker.received))
    stream.send(answer)
    stream.close().catch(err => { stream.abort(err) })
  })
}

function echo (stream: Stream): void {
  stream.addEventListener('message', ({ data }) => { stream.send(data) })
  stream.addEventListener('remoteCloseWrite', () => {
    stream.close().catch(err => { stream.abort(err) })
  })
}

/**
 * @returns how many responses came
 */
async function requestFor (ms: number, stream: Stream): Promise<number> {
  const end = performance.now() + ms
  const done = pDefer<number>()
  const request = Buffer.alloc(REQUEST_SIZE, stream.id)
  let requests = 0
  let received: Uint8Array = new Uint8Array()

  const send = (): void => {
    request.writeUInt32BE(++requests)
    received = new Uint8Array()
    // a stream does not copy what it sends
    stream.send(Uint8Array.from(request))
  }

  stream.addEventListener('message', ({ data }) => {
    received = received.byteLength === 0 ? data.subarray() : Buffer.concat([received, data.subarray()])

    if (received.byteLength < REQUEST_SIZE) {
      return
    }

    if (Buffer.compare(received, request) !== 0) {
      done.reject(new Error(`Response ${requests} is not the request`))
    } else if (performance.now() > end) {
      done.resolve(requests)
    } else {
      send()
    }
  })
  stream.addEventListener('close', () => { done.reject(new Error('The stream closed')) })
  send()

  return done.promise
}
