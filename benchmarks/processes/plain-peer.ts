/**
 * The other end of many connections. It knows nothing of libp2p
 */

import { once } from 'node:events'
import net from 'node:net'
import { inParallel } from '../../test/stress/in-parallel.ts'
import { serve } from '../../test/stress/participant.ts'
import { loopbackHost } from '../loopback-host.ts'
import { settled } from '../settled.ts'
import type { AddressInfo, Socket } from 'node:net'

export type PlainPeer = typeof commands

const CONCURRENCY = 50

/**
 * A dial is done when the kernel has queued it. With a short queue it would drop
 * some, and they would be dialed again a second later
 */
const BACKLOG = 4_096

/**
 * How many connections came from which port
 */
const seen = new Map<number | undefined, number>()
let accepted = 0
let open = 0

const commands = {
  /**
   * Listens on all loopback addresses
   */
  async listen (): Promise<number> {
    const server = net.createServer(socket => {
      accepted++
      seen.set(socket.remotePort, (seen.get(socket.remotePort) ?? 0) + 1)
      keep(socket)
    })
    server.listen({ host: '0.0.0.0', port: 0, backlog: BACKLOG })
    await once(server, 'listening')

    return (server.address() as AddressInfo).port
  },

  /**
   * Waits until so many connections are open, of all that were accepted and made
   *
   * @returns how many are open, how many were accepted so far, and how many of
   * them came from `port`
   */
  async seen (expectedOpen: number, port: number): Promise<{ open: number, accepted: number, fromPort: number }> {
    const nowOpen = await settled(() => open, expectedOpen)

    return { open: nowOpen, accepted, fromPort: seen.get(port) ?? 0 }
  },

  /**
   * Waits until so many connections were accepted
   *
   * @returns how many were, and from how many ports. Those that were reset before
   * they were accepted have none any more
   */
  async sources (expected: number): Promise<{ accepted: number, ports: number }> {
    await settled(() => accepted, expected)

    return { accepted, ports: [...seen.keys()].filter(port => port != null).length }
  },

  async connect (port: number, count: number): Promise<void> {
    await inParallel(CONCURRENCY, Array.from({ length: count }).keys(), async n => {
      keep(await connect(port, loopbackHost(n)))
    })
  }
}

serve(commands)

async function connect (port: number, localAddress: string): Promise<Socket> {
  const socket = net.connect({ host: '127.0.0.1', port, localAddress })
  await once(socket, 'connect')

  return socket
}

function keep (socket: Socket): void {
  open++

  socket.on('error', () => {})
  socket.once('close', () => {
    open--
  })
  // without, it would not see the end
  socket.resume()
}
