/**
 * Our end of the exchanges, as a process of its own
 */

import { getNetConfig } from '@libp2p/utils'
import { toDuplex } from '../../src/index.ts'
import { createTransport, rawUpgrader } from '../kit/transport.ts'
import { check, exchangeOf, hostOf, inPieces, numberOf } from './half-close-plan.ts'
import { leftOver, startWatching } from './resources.ts'
import { serve } from './troubles.ts'
import type { Exchange } from './half-close-plan.ts'
import type { RawConnection } from '../../src/index.ts'

export type HalfCloseNode = typeof commands

const { listen, connect } = createTransport()
let firstSeed = 0

const commands = {
  /**
   * Returns the port
   */
  async listen (seed: number): Promise<number> {
    firstSeed = seed
    const { port } = await listen('/ip4/127.0.0.1/tcp/0', rawUpgrader(connection => { accept(connection as RawConnection) }))
    startWatching()

    return port
  },

  /**
   * Rejects if a byte is wrong or missing
   */
  async dial (port: number, n: number): Promise<void> {
    const exchange = exchangeOf(firstSeed, n)
    const { connection } = await connect(`/ip4/${hostOf(n)}/tcp/${port}`)

    await (exchange.dialerRequests ? request(connection, exchange) : reply(connection, exchange))
  },
  leftOver
}

serve(commands)

function accept (connection: RawConnection): void {
  const exchange = exchangeOf(firstSeed, numberOf(getNetConfig(connection.remoteAddr).host))

  void (exchange.dialerRequests ? reply(connection, exchange) : request(connection, exchange))
}

/**
 * With a FIN after the request, then the reply comes
 */
async function request (connection: RawConnection, exchange: Exchange): Promise<void> {
  const { source, sink } = toDuplex(connection)
  const received: Uint8Array[] = []

  await sink(inPieces(exchange.request, exchange))

  for await (const data of source) {
    received.push(data.subarray())
  }

  check('reply', Buffer.concat(received), exchange.reply, exchange)
}

/**
 * The reply is sent when the request is there, and the peer's FIN perhaps in the kernel
 */
async function reply (connection: RawConnection, exchange: Exchange): Promise<void> {
  const { request, reply, end } = exchange

  if (end === 'duplex') {
    const { source, sink } = toDuplex(connection)
    const received: Uint8Array[] = []

    for await (const data of source) {
      received.push(data.subarray())
    }

    check('request', Buffer.concat(received), request, exchange)
    await sink(inPieces(reply, exchange))
    return
  }

  const done = Promise.withResolvers<void>()
  const received: Uint8Array[] = []
  let length = 0

  connection.addEventListener('message', ({ data }) => {
    received.push(data.subarray())
    length += data.byteLength

    if (length < request.byteLength) {
      return
    }

    check('request', Buffer.concat(received), request, exchange)

    for (const piece of inPieces(reply, exchange)) {
      connection.send(piece)
    }

    const ended = end === 'send' ? undefined : connection[end]()
    done.resolve(ended)
  })
  connection.addEventListener('close', ({ error }) => { done.reject(error ?? new Error(`exchange ${exchange.seed}: closed after ${length} bytes of the request`)) })

  await done.promise
}
