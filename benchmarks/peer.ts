/**
 * The process that is measured: a node with one of the transports. Without an ID of a peer,
 * connections are not upgraded. With one they have encryption and a multiplexer. A peer that
 * `serve`s is the other end of these
 */

import { setTimeout as delay } from 'node:timers/promises'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import pDefer from 'p-defer'
import { pEvent } from 'p-event'
import pMap from 'p-map'
import { Uint8ArrayList } from 'uint8arraylist'
import { reuseportTcp } from '../src/index.ts'
import { portOf } from '../test/kit/addresses.ts'
import { startNode } from '../test/kit/node.ts'
import { serve } from '../test/kit/serve.ts'
import { rawUpgrader } from '../test/kit/transport.ts'
import { until } from '../test/kit/wait.ts'
import { countBytes, messagesOf } from './bytes.ts'
import type { Connection, MultiaddrConnection, Stream, StreamMessageEvent, Transport } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

export type BenchPeer = typeof commands

/** How many dials are under way at a time */
const PARALLEL = 50

/** Without an upgrade, a message is sent as two parts, as encrypters make it */
const HEADER = 2

/** How many messages are sent between two looks at the clock, which is slow next to sending */
const BETWEEN_LOOKS = 64

const REQUEST_SIZE = 64

const COUNT = '/libp2p-reuseport-tcp/bench/count'
const ECHO = '/libp2p-reuseport-tcp/bench/echo'
const MANY_STREAMS = { maxInboundStreams: Infinity, maxOutboundStreams: Infinity }

const upgrader = rawUpgrader()
const held: Array<Connection | MultiaddrConnection> = []
const node = await startNode({
  addresses: {},
  transports: [process.argv[2] === 'ours' ? reuseportTcp() : tcp()],
  services: { ...process.argv[3] === 'serve' ? { identify: identify() } : {} }
})
const { transportManager } = (node as any).components
const transport: Transport = transportManager.getTransports()[0]

/** When each connection was accepted, in ms */
const accepted: number[] = []

/** The ports that upgraded connections came from */
const upgradedFrom: number[] = []
let dials = 0

/** @returns the port */
async function listen (): Promise<number> {
  const listener = transport.createListener({ upgrader: rawUpgrader(() => { accepted.push(performance.now()) }) })
  await listener.listen(multiaddr('/ip4/0.0.0.0/tcp/0'))

  return portOf(listener)
}

const commands = {
  listen,

  /** Opens so many connections, 50 at a time, and keeps them */
  async dial (count: number, port: number, id?: string): Promise<{ seconds: number, cpuSeconds: number }> {
    const addresses = Array.from({ length: count }, () => loopback(port))
    const cpuBefore = process.cpuUsage()
    const began = performance.now()
    const opened = await pMap<Multiaddr, Connection | MultiaddrConnection>(addresses, async ma => id == null ? dialRaw(ma) : connect(ma, id), { concurrency: PARALLEL })
    const seconds = secondsSince(began)
    const { user, system } = process.cpuUsage(cpuBefore)
    held.push(...opened)

    return { seconds, cpuSeconds: (user + system) / 1e6 }
  },

  /** Closes the newest of them at once */
  close (count: number): void {
    held.splice(-count).forEach(connection => { connection.abort(new Error('It was only to be opened')) })
  },

  /** What stays after garbage collection */
  async memory (): Promise<{ rssBytes: number, heapBytes: number }> {
    // what a finalizer releases is collected by the next one. An ordinary collection leaves
    // the process what it took while many connections were opened at once
    for (let i = 0; i < 5; i++) {
      globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' })
      await delay(20)
    }

    const { rss, heapUsed, arrayBuffers } = process.memoryUsage()

    return { rssBytes: rss, heapBytes: heapUsed + arrayBuffers }
  },

  /** Waits until so many have been accepted. Returns the seconds from the first to the last */
  async accept (count: number): Promise<{ accepted: number, seconds: number }> {
    await until(() => accepted.length >= count)
    const times = accepted.splice(0)

    return { accepted: times.length, seconds: (times[times.length - 1] - times[0]) / 1000 }
  },

  /** Sends messages of this size for so many ms, without an upgrade. Returns how many */
  async send (size: number, ms: number, port: number): Promise<number> {
    const connection = await dialRaw(loopback(port))
    const parts = messagesOf(size).map(message => [message.subarray(0, HEADER), message.subarray(HEADER)])
    // a new list each time, as encrypters make one
    const messages = await sendFor(ms, connection, n => new Uint8ArrayList(...parts[n % parts.length]))
    await connection.close()

    return messages
  },

  /** The same on one stream, until the other end has all */
  async stream (size: number, ms: number, port: number, id: string): Promise<{ messages: number, received: number, seconds: number }> {
    const connection = await connect(loopback(port), id)
    const stream = await connection.newStream(COUNT)
    const answer = pEvent<'message', StreamMessageEvent>(stream, 'message', { rejectionEvents: ['close'] })
    const all = messagesOf(size)

    const began = performance.now()
    const messages = await sendFor(ms, stream, n => all[n % all.length])
    await stream.close()
    const { data } = await answer
    const seconds = secondsSince(began)
    connection.abort(new Error('All was sent'))

    return { messages, seconds, received: Number(Buffer.from(data.subarray()).toString()) }
  },

  /** Sends requests of 64 bytes on so many streams for so many ms, one at a time on each */
  async request (streams: number, ms: number, port: number, id: string): Promise<{ responses: number, seconds: number }> {
    const connection = await connect(loopback(port), id)
    const open = await Promise.all(Array.from({ length: streams }, async () => connection.newStream(ECHO, MANY_STREAMS)))

    const began = performance.now()
    const responses = await Promise.all(open.map(async stream => requestFor(ms, stream)))
    const seconds = secondsSince(began)
    connection.abort(new Error('All was asked'))

    return { responses: responses.reduce((sum, n) => sum + n), seconds }
  },

  /** Listens for upgraded connections, and answers on their streams */
  async serve (): Promise<{ port: number, id: string }> {
    node.addEventListener('connection:open', ({ detail }) => { upgradedFrom.push(portOf(detail.remoteAddr)) })
    await node.handle(COUNT, countStream)
    await node.handle(ECHO, stream => {
      stream.addEventListener('message', ({ data }) => { stream.send(data) })
    }, MANY_STREAMS)
    await transportManager.listen([multiaddr('/ip4/0.0.0.0/tcp/0')])

    return { port: portOf(transportManager.getAddrs()[0]), id: node.peerId.toString() }
  },

  upgradedFrom: (): number[] => upgradedFrom,

  /** How many upgraded connections are open */
  open: (): number => node.getConnections().length
}

serve(commands)

function countStream (stream: Stream): void {
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
}

async function dialRaw (ma: Multiaddr): Promise<MultiaddrConnection> {
  return await transport.dial(ma, { upgrader, signal: newSignal() }) as unknown as MultiaddrConnection
}

/** A new one for each dial, as libp2p makes one: `@libp2p/tcp` leaves a listener on it */
function newSignal (): AbortSignal {
  return new AbortController().signal
}

/** Around the dial queue, which would return the connection that it has already */
async function connect (ma: Multiaddr, id: string): Promise<Connection> {
  return transportManager.dial(ma.encapsulate(`/p2p/${id}`), { signal: newSignal() })
}

/** Another one each time: each of them allows another connection between one port and another */
function loopback (port: number): Multiaddr {
  const n = dials++

  return multiaddr(`/ip4/127.${1 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}/tcp/${port}`)
}

/** Sends one message after the other for so many ms, no faster than they drain. Returns how many */
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

/** Sends one request after the other for so many ms. Returns how many responses came */
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
