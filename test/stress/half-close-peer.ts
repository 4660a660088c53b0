/**
 * The other end of the exchanges, as a process of its own that knows nothing of libp2p
 */

import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { check, exchangeOf, hostOf, inPieces, numberOf } from './half-close-plan.ts'
import { serve } from './troubles.ts'
import type { Exchange } from './half-close-plan.ts'
import type { AddressInfo, Socket } from 'node:net'

export type HalfClosePeer = typeof commands

const server = net.createServer({ allowHalfOpen: true }, socket => {
  const exchange = exchangeOf(firstSeed, numberOf(`${socket.localAddress}`))

  taken.push(take(socket, exchange, !exchange.dialerRequests))
})
const taken: Array<Promise<number>> = []
let firstSeed = 0

const commands = {
  /**
   * Returns the port
   */
  async listen (seed: number): Promise<number> {
    firstSeed = seed
    server.listen(0, '0.0.0.0')
    await once(server, 'listening')

    return (server.address() as AddressInfo).port
  },

  /**
   * Rejects if a byte is wrong or missing
   */
  async dial (port: number, n: number): Promise<void> {
    const exchange = exchangeOf(firstSeed, n)
    const socket = net.connect({ host: '127.0.0.1', port, localAddress: hostOf(n), allowHalfOpen: true })

    taken.push(take(socket, exchange, exchange.dialerRequests))
    await taken.at(-1)
  },

  /**
   * How many bytes went both ways in each exchange, when all are complete
   */
  done: async () => Promise.all(taken)
}

serve(commands)

/**
 * Does this end's part of the exchange
 */
async function take (socket: Socket, exchange: Exchange, requests: boolean): Promise<number> {
  if (requests) {
    await send(socket, exchange.request, exchange)
    check('reply', await read(socket, exchange), exchange.reply, exchange)
  } else {
    check('request', await read(socket, exchange), exchange.request, exchange)
    await send(socket, exchange.reply, exchange)
  }

  return exchange.request.byteLength + exchange.reply.byteLength
}

async function send (socket: Socket, data: Uint8Array, exchange: Exchange): Promise<void> {
  for (const piece of inPieces(data, exchange)) {
    if (!socket.write(piece)) {
      await once(socket, 'drain')
    }
  }

  socket.end()
}

async function read (socket: Socket, { slow }: Exchange): Promise<Uint8Array> {
  const received: Buffer[] = []

  for await (const data of socket) {
    received.push(data)

    if (slow) {
      await delay(1)
    }
  }

  return Buffer.concat(received)
}
