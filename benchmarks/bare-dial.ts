/**
 * The CPU time that Node itself needs for a dial from a listening port. Compares
 * `net.BoundSocket` with `net.connect`, without this package, in turn in one process. The peers
 * are in this process, too, so the CPU time is that of both ends.
 *
 * `npx node benchmarks/bare-dial.ts` takes half a minute
 */

import { once } from 'node:events'
import net from 'node:net'
import { median } from '../test/kit/statistics.ts'
import type { Server, Socket } from 'node:net'

const HOST = '127.0.0.1'
const PARALLEL = 50
const DIALS = 500
const ROUNDS = 60

/**
 * How many rounds are not counted, as they compile the code
 */
const WARM_UP = 20

const listener = net.createServer()
const listening = new net.BoundSocket({ host: HOST, port: 0, reusePort: true })
const { port } = listening.address()
listener.listen(listening)

const peers = await Promise.all(Array.from({ length: PARALLEL }, startPeer))

const WAYS: Record<string, (peer: number) => Socket> = {
  'net.connect': peer => net.connect({ host: HOST, port: peer }),
  'net.BoundSocket': peer => {
    const handle = new net.BoundSocket({ host: HOST, port, reusePort: true })

    return new net.Socket({ handle }).connect({ host: HOST, port: peer })
  }
}
const costs: Record<string, number[]> = Object.fromEntries(Object.keys(WAYS).map(name => [name, []]))

for (let round = -WARM_UP; round < ROUNDS; round++) {
  for (const [name, dial] of Object.entries(WAYS)) {
    const before = process.cpuUsage()

    for (let dials = 0; dials < DIALS; dials += PARALLEL) {
      await Promise.all(peers.map(async peer => dialAndClose(dial(portOf(peer)))))
    }

    const { user, system } = process.cpuUsage(before)

    if (round >= 0) {
      costs[name].push((user + system) / DIALS)
    }
  }
}

const [plain, bound] = Object.values(costs).map(median)
const ratio = median(costs['net.BoundSocket'].map((cost, i) => cost / costs['net.connect'][i]))

process.stdout.write(`CPU of a dial, both ends: net.connect ${plain.toFixed(1)} µs, net.BoundSocket ${bound.toFixed(1)} µs, median ratio ${ratio.toFixed(2)}\n`)
;[listener, ...peers].forEach(server => { server.close() })

async function startPeer (): Promise<Server> {
  const server = net.createServer(socket => { socket.on('error', () => {}).resume() })
  server.listen(0, HOST)
  await once(server, 'listening')

  return server
}

function portOf (server: Server): number {
  const address = server.address()

  return address != null && typeof address === 'object' ? address.port : 0
}

async function dialAndClose (socket: Socket): Promise<void> {
  await once(socket, 'connect')
  socket.resetAndDestroy()
  await once(socket, 'close')
}
