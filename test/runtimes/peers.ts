/**
 * The other end of what the transport does in another runtime: plain sockets of this
 * process, which is one of Node, so that what they see does not depend on the runtime
 * that is looked at. It prints its URL, is told over HTTP what to do, and ends with its
 * standard input.
 *
 * - `/listen/HOST`: start a server that echoes; the answer is its port
 * - `/source/PORT`: the port that the connection to it came from
 * - `/ending/PORT`: how that connection ended
 * - `/end/PORT`, `/reset/PORT`: send a FIN, or RST
 * - `/dial/HOST/PORT/LENGTH`: send so many bytes there, expect them back, and a FIN
 * for ours
 */

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { startServer } from '../fixtures/server.ts'
import { within } from '../kit/wait.ts'
import type { TestServer } from '../fixtures/server.ts'
import type { AddressInfo, Socket } from 'node:net'

/**
 * How long a peer waits for what is to happen, in ms. Less than a step may take
 */
const LIMIT = 1_500

/**
 * How a connection ended, as the peer sees it
 */
type Ending = 'FIN' | 'RST'

const servers = new Map<string, TestServer>()
const endings = new Map<Socket, Promise<Ending>>()

const socketAt = async (port: string): Promise<Socket> => {
  const server = servers.get(port)

  if (server == null) {
    throw new Error(`There is no peer at ${port}`)
  }

  return within(LIMIT, server.socket(0), 'The connection')
}

const actions: Record<string, (...args: string[]) => Promise<unknown>> = {
  listen: async host => {
    const server = await startServer(host, 0, socket => {
      endings.set(socket, endOf(socket))
      socket.pipe(socket)
    })
    servers.set(`${server.port}`, server)

    return server.port
  },
  source: async port => (await socketAt(port)).remotePort,
  ending: async port => within(LIMIT, endings.get(await socketAt(port)) ?? Promise.reject(new Error('It was not watched')), 'The end of the connection'),
  end: async port => { (await socketAt(port)).end() },
  reset: async port => { (await socketAt(port)).resetAndDestroy() },
  dial: async (host, port, length) => within(LIMIT, dial(host, Number(port), Number(length)), 'The echo')
}

const server = http.createServer((request, response) => {
  const [action, ...args] = (request.url ?? '').slice(1).split('/').map(decodeURIComponent)

  // a connection that is kept would keep the other process running
  response.setHeader('connection', 'close')
  actions[action](...args).then(
    result => { response.end(JSON.stringify(result ?? null)) },
    err => { response.writeHead(500).end(err.message) }
  )
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')

process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`)
process.stdin.resume().once('end', () => { process.exit() })

async function endOf (socket: Socket): Promise<Ending> {
  return new Promise(resolve => {
    socket.once('end', () => { resolve('FIN') })
    socket.once('error', () => { resolve('RST') })
  })
}

/**
 * @throws {Error} unless all that is sent comes back, and then a FIN for ours
 */
async function dial (host: string, port: number, length: number): Promise<void> {
  const sent = randomBytes(length)
  const received: Buffer[] = []
  const socket = net.connect({ host, port, allowHalfOpen: true })
  socket.write(sent)

  for await (const data of socket) {
    received.push(data)

    if (socket.bytesRead === length) {
      socket.end()
    }
  }

  if (!Buffer.concat(received).equals(sent)) {
    throw new Error('The echo is wrong')
  }
}
