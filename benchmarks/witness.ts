import { once } from 'node:events'
import net from 'node:net'
import pMap from 'p-map'
import { countBytes } from '../test/interop/js-peer/bench-bytes.ts'
import { until } from '../test/kit/wait.ts'
import type { AddressInfo, Socket } from 'node:net'

/**
 * The other end of connections without an upgrade. It does not use libp2p. It checks what the
 * peers claim
 */
export interface Witness {
  /**
   * It is in this process
   */
  pid: number
  port: number

  /**
   * Waits until this many connections were accepted since the last call, and returns the ports
   * that they came from
   */
  accepted(count: number): Promise<number[]>

  /**
   * Waits until this many connections are open, accepted and made ones together
   */
  open(count: number): Promise<void>

  /**
   * Waits until this many bytes have arrived on the newest connection, and checks them. Returns
   * the seconds from the first byte to the last
   */
  received(bytes: number): Promise<number>

  /**
   * Opens connections, each from another address
   */
  connect(port: number, count: number): Promise<void>

  /**
   * Closes the connections that it opened
   */
  disconnect(): void
  stop(): void
}

/**
 * The length of the listener's queue. A dial is done when the kernel has queued it. With a short
 * queue it would drop some SYNs, and they would be sent again a second later
 */
const BACKLOG = 4_096
const PARALLEL = 50

/**
 * How long to wait for each event that must come, in ms
 */
const TIMEOUT = 20_000

export async function startWitness (): Promise<Witness> {
  const open = new Set<Socket>()
  const sources: number[] = []
  const made: Socket[] = []
  let arrived = { bytes: 0, first: 0, last: 0 }

  const keep = (socket: Socket): void => {
    open.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => open.delete(socket))
  }

  const server = net.createServer(socket => {
    keep(socket)
    sources.push(Number(socket.remotePort))
    const count = countBytes()
    let first: number | undefined

    socket.on('data', chunk => {
      first ??= performance.now()
      arrived = { bytes: count(chunk), first, last: performance.now() }
    })
  })
  server.listen({ host: '0.0.0.0', port: 0, backlog: BACKLOG })
  await once(server, 'listening')

  return {
    pid: process.pid,
    port: (server.address() as AddressInfo).port,
    async accepted (count) {
      await until(() => sources.length >= count, TIMEOUT)

      return sources.splice(0)
    },
    open: async count => until(() => open.size === count, TIMEOUT),
    async received (bytes) {
      await until(() => arrived.bytes === bytes, TIMEOUT)

      return (arrived.last - arrived.first) / 1000
    },
    connect: async (port, count) => {
      await pMap(Array.from({ length: count }).keys(), async n => {
        const socket = net.connect({ host: '127.0.0.1', port, localAddress: `127.1.${n >> 8}.${n & 255}` })
        keep(socket)
        await once(socket, 'connect')
        // without this, the end is not noticed
        made.push(socket.resume())
      }, { concurrency: PARALLEL })
    },
    disconnect: () => { made.splice(0).forEach(socket => socket.end()) },
    stop: () => {
      server.close()
      open.forEach(socket => socket.destroy())
    }
  }
}
