/**
 * What connections cost, for comparison with others: see ../README.md. They are made by a
 * node without services, whose transport has a listener with an upgrader that does
 * nothing: the peer's own node never hears of them
 */

import { setTimeout as delay } from 'node:timers/promises'
import { multiaddr } from '@multiformats/multiaddr'
import pDefer from 'p-defer'
import { pEvent } from 'p-event'
import pMap from 'p-map'
import { Uint8ArrayList } from 'uint8arraylist'
import { portOf } from '../../kit/addresses.ts'
import { startNode } from '../../kit/node.ts'
import { rawUpgrader } from '../../kit/transport.ts'
import { until } from '../../kit/wait.ts'
import { countBytes, messagesOf } from './bench-bytes.ts'
import { encrypterOf, transportOf } from './node.ts'
import type { Node, NodeInit } from './node.ts'
import type { Connection, MultiaddrConnection, Stream, StreamMessageEvent, Transport } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

const PARALLEL = 50

/** Without an upgrade, a message is sent as two parts, as encrypters make it */
const HEADER = 2

/** How many messages are sent between two looks at the clock, which is slow next to sending */
const BETWEEN_LOOKS = 64

const REQUEST_SIZE = 64

const COUNT = '/libp2p-reuseport-tcp/bench/count'
const ECHO = '/libp2p-reuseport-tcp/bench/echo'
const MANY_STREAMS = { maxInboundStreams: Infinity, maxOutboundStreams: Infinity }

type Fields = Record<string, unknown>

/**
 * Of the transport manager, which only services get at. As a service itself it would be
 * started twice
 */
interface Transports {
  only(): Transport
  dial(ma: Multiaddr, options: { signal: AbortSignal }): Promise<Connection>
}

interface Dialer {
  /** That it listens on */
  port: number

  /** Without an upgrade */
  dial(ma: Multiaddr): Promise<MultiaddrConnection>

  /** With encryption and multiplexer */
  connect(ma: Multiaddr, peer: string): Promise<Connection>
}

const held: Array<Connection | MultiaddrConnection> = []

/** When each connection was accepted, in ms */
const accepted: number[] = []

let dialer: Promise<Dialer> | undefined
let dials = 0

export const BENCHMARKS: Record<string, (args: string[], init: NodeInit) => Promise<Fields>> = {
  async 'bench-dial' ([count, port, peer], init) {
    const { dial, connect, port: listening } = await start(init)
    const addresses = Array.from({ length: Number(count) }, () => loopback(port))

    const cpuBefore = process.cpuUsage()
    const began = performance.now()
    const opened = await pMap<Multiaddr, Connection | MultiaddrConnection>(addresses, async ma => peer == null ? dial(ma) : connect(ma, peer), { concurrency: PARALLEL })
    const seconds = secondsSince(began)
    const { user, system } = process.cpuUsage(cpuBefore)
    held.push(...opened)

    return { seconds, cpuSeconds: (user + system) / 1e6, port: listening }
  },

  async 'bench-close' ([count]) {
    held.splice(-Number(count)).forEach(connection => { connection.abort(new Error('It was only to be opened')) })

    return {}
  },

  async 'bench-memory' () {
    if (globalThis.gc == null) {
      throw new Error('It needs --expose-gc')
    }

    // what a finalizer releases is collected by the next one. An ordinary collection leaves
    // the process what it took while many connections were opened at once
    for (let i = 0; i < 5; i++) {
      globalThis.gc({ type: 'major', execution: 'sync', flavor: 'last-resort' })
      await delay(20)
    }

    const { rss, heapUsed, arrayBuffers } = process.memoryUsage()

    return { rssBytes: rss, heapBytes: heapUsed + arrayBuffers }
  },

  async 'bench-listen' (_args, init) {
    return { port: (await start(init)).port }
  },

  async 'bench-accept' ([count]) {
    await until(() => accepted.length >= Number(count))
    const times = accepted.splice(0)

    return { accepted: times.length, seconds: (times[times.length - 1] - times[0]) / 1000 }
  },

  async 'bench-send' ([size, ms, port], init) {
    const { dial, port: listening } = await start(init)
    const connection = await dial(loopback(port))
    const parts = messagesOf(Number(size)).map(message => [message.subarray(0, HEADER), message.subarray(HEADER)])
    // a new list each time, as encrypters make one
    const messages = await sendFor(Number(ms), connection, n => new Uint8ArrayList(...parts[n % parts.length]))
    await connection.close()

    return { messages, port: listening }
  },

  async 'bench-stream' ([size, ms, port, peer], init) {
    const connection = await (await start(init)).connect(loopback(port), peer)
    const stream = await connection.newStream(COUNT)
    const answer = pEvent<'message', StreamMessageEvent>(stream, 'message', { rejectionEvents: ['close'] })
    const all = messagesOf(Number(size))

    const began = performance.now()
    const messages = await sendFor(Number(ms), stream, n => all[n % all.length])
    await stream.close()
    const { data } = await answer
    const seconds = secondsSince(began)
    connection.abort(new Error('All was sent'))

    return { messages, seconds, received: Number(Buffer.from(data.subarray()).toString()) }
  },

  async 'bench-request' ([streams, ms, port, peer], init) {
    const connection = await (await start(init)).connect(loopback(port), peer)
    const open = await Promise.all(Array.from({ length: Number(streams) }, async () => connection.newStream(ECHO, MANY_STREAMS)))

    const began = performance.now()
    const responses = await Promise.all(open.map(async stream => requestFor(Number(ms), stream)))
    const seconds = secondsSince(began)
    connection.abort(new Error('All was asked'))

    return { responses: responses.reduce((sum, n) => sum + n), seconds }
  }
}

/** The other end of streams */
export async function serveBenchmarks (node: Node): Promise<void> {
  await node.handle(COUNT, stream => {
    const count = countBytes()
    let received = 0

    stream.addEventListener('message', ({ data }) => {
      try {
        for (const part of data instanceof Uint8Array ? [data] : data) {
          received = count(part)
        }
      } catch (err: any) {
        stream.abort(err)
      }
    })
    stream.addEventListener('remoteCloseWrite', () => {
      stream.send(Buffer.from(`${received}`))
      void stream.close()
    })
  })

  await node.handle(ECHO, stream => {
    stream.addEventListener('message', ({ data }) => { stream.send(data) })
  }, MANY_STREAMS)
}

async function start (init: NodeInit): Promise<Dialer> {
  dialer ??= startDialer(init)

  return dialer
}

async function startDialer ({ security, transport }: NodeInit): Promise<Dialer> {
  const { services: { transports } } = await startNode<{ transports: Transports }>({
    addresses: {},
    transports: [transportOf(transport)],
    connectionEncrypters: [encrypterOf(security)],
    services: {
      transports: ({ transportManager }): Transports => ({
        only: () => transportManager.getTransports()[0],
        dial: async (ma, options) => transportManager.dial(ma, options)
      })
    }
  })

  const only = transports.only()
  const upgrader = rawUpgrader()
  const listener = only.createListener({ upgrader: rawUpgrader(() => { accepted.push(performance.now()) }) })
  await listener.listen(multiaddr('/ip4/0.0.0.0/tcp/0'))

  return {
    port: portOf(listener),
    dial: async ma => await only.dial(ma, { upgrader, signal: new AbortController().signal }) as unknown as MultiaddrConnection,
    // around the dial queue, which would return the connection that it has already
    connect: async (ma, peer) => transports.dial(ma.encapsulate(`/p2p/${peer}`), { signal: new AbortController().signal })
  }
}

/**
 * Another one each time: each of them allows another connection between one port and
 * another
 */
function loopback (port: string): Multiaddr {
  const n = dials++

  return multiaddr(`/ip4/127.${1 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}/tcp/${port}`)
}

/**
 * Sends one message after the other for so many ms, no faster than they drain
 *
 * @returns how many were sent
 */
async function sendFor (ms: number, sink: MultiaddrConnection | Stream, message: (n: number) => Uint8Array | Uint8ArrayList): Promise<number> {
  const end = performance.now() + ms

  for (let n = 0; ; n++) {
    if (n % BETWEEN_LOOKS === 0 && performance.now() > end) {
      return n
    }

    if (!sink.send(message(n))) {
      await pEvent(sink, 'drain', { rejectionEvents: ['close'] })

      if (performance.now() > end) {
        return n + 1
      }
    }
  }
}

/**
 * Sends one request after the other for so many ms
 *
 * @returns how many responses came
 */
async function requestFor (ms: number, stream: Stream): Promise<number> {
  const end = performance.now() + ms
  const done = pDefer<number>()
  const requests = messagesOf(REQUEST_SIZE)
  const count = countBytes()
  let n = 0

  stream.addEventListener('message', ({ data }) => {
    try {
      if (count(data.subarray()) < (n + 1) * REQUEST_SIZE) {
        return
      }

      n++

      if (performance.now() > end) {
        done.resolve(n)
      } else {
        stream.send(requests[n % requests.length])
      }
    } catch (err) {
      done.reject(err)
    }
  })
  stream.addEventListener('close', () => { done.reject(new Error('The stream closed')) })
  stream.send(requests[0])

  return done.promise
}

function secondsSince (began: number): number {
  return (performance.now() - began) / 1000
}
