/**
 * Sends over a connection and receives at its other end, in one process
 */

import { once } from 'node:events'
import net from 'node:net'
import { multiaddr } from '@multiformats/multiaddr'
import { Uint8ArrayList } from 'uint8arraylist'
import { startServer } from '../../test/fixtures/server.ts'
import { serve } from '../../test/stress/participant.ts'
import { createTransport, dial, listen } from '../contestants.ts'
import { CycleChecker, createCycle } from '../cycle.ts'
import { expectEqual, expectSources } from '../expect.ts'
import { sendFor } from '../send-for.ts'
import type { Contestant, TransportName } from '../row.ts'

export type Sender = typeof commands

const HEADER_LENGTH = 2

/**
 * Sends for so many ms
 *
 * @returns how many messages
 */
type Send = (ms: number) => Promise<number>

interface Opened {
  send: Send
  listeningPort: number
}

const commands = {
  /**
   * Messages are a header of two bytes and a payload
   *
   * @returns messages a second, from the first that is sent to the last that has
   * arrived
   */
  async run (contestant: Contestant, payloadSize: number, warmUp: number, ms: number): Promise<number> {
    const size = HEADER_LENGTH + payloadSize
    const cycle = createCycle(size)
    const checker = new CycleChecker(cycle)
    const server = await startServer('127.0.0.1', 0, socket => {
      socket.on('data', chunk => { checker.add(chunk) })
    })
    const { send, listeningPort } = contestant === 'raw'
      ? await openRaw(server.port, cycle.messages)
      : await open(contestant, server.port, cycle.messages)

    const before = await send(warmUp)
    await checker.until(before * size)

    const start = performance.now()
    const sent = await send(ms)
    await checker.until((before + sent) * size)
    const seconds = (performance.now() - start) / 1000

    expectEqual('bytes that arrived', checker.received, (before + sent) * size)
    expectEqual('connections', server.ports.length, 1)
    expectSources(contestant, server.ports.filter(port => port === listeningPort).length, 1)

    return sent / seconds
  }
}

serve(commands)

async function open (name: TransportName, port: number, messages: Uint8Array[]): Promise<Opened> {
  const transport = createTransport(name)
  const listeningPort = await listen(transport)
  const connection = await dial(transport, multiaddr(`/ip4/127.0.0.1/tcp/${port}`))
  const parts = messages.map(message => [message.subarray(0, HEADER_LENGTH), message.subarray(HEADER_LENGTH)])
  let n = 0

  return {
    // a new list each time, as whatever encrypts or multiplexes makes one
    send: async ms => sendFor(ms, connection, () => new Uint8ArrayList(...parts[n++ % parts.length])),
    listeningPort
  }
}

/**
 * The limit: a socket that gets whole messages, and hands to the kernel at once
 * what was written within a tick
 */
async function openRaw (port: number, messages: Uint8Array[]): Promise<Opened> {
  const socket = net.connect({ host: '127.0.0.1', port })
  await once(socket, 'connect')

  let n = 0

  const uncork = (): void => { socket.uncork() }

  const sink = {
    send (data: Uint8Array) {
      if (socket.writableCorked === 0) {
        socket.cork()
        process.nextTick(uncork)
      }

      return socket.write(data)
    },
    addEventListener: (type: string, listener: () => void) => { socket.once(type, listener) }
  }

  return { send: async ms => sendFor(ms, sink, () => messages[n++ % messages.length]), listeningPort: 0 }
}
