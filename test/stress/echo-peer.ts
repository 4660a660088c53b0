/**
 * A peer, as a process of its own, that knows nothing of libp2p: it echoes, does
 * what the dialer ordered, and counts where connections come from
 */

import { once } from 'node:events'
import net from 'node:net'
import { leftOver, openFilesLimit, startWatching } from './resources.ts'
import { serve } from './troubles.ts'
import type { EchoOrder } from './echo.ts'
import type { PeerAddress } from './loopback.ts'
import type { AddressInfo, Socket } from 'node:net'

export type EchoPeer = typeof commands

/**
 * What happens to sockets whose other end is aborted
 */
const EXPECTED_ERRORS = ['ECONNRESET', 'EPIPE']

const seen = { connections: 0, fromListeningPort: 0, fromEphemeralPort: 0, fromUnexpectedPort: 0, resets: 0, errors: 0 }
let open = 0

const commands = {
  openFilesLimit,

  /**
   * Listens on so many ports of each host, to be dialed by somebody who listens
   * on `dialerPort`
   */
  async listen (hosts: string[], ports: number, dialerPort: number): Promise<PeerAddress[]> {
    const addresses: PeerAddress[] = []

    for (const host of Array.from({ length: ports }, () => hosts).flat()) {
      const server = net.createServer({ allowHalfOpen: true }, socket => { accept(socket, dialerPort) })
      server.listen({ host, port: 0 })
      await once(server, 'listening')
      addresses.push({ host, port: (server.address() as AddressInfo).port })
    }

    startWatching()

    return addresses
  },
  seen: () => ({ ...seen, open }),
  leftOver
}

serve(commands)

function accept (socket: Socket, dialerPort: number): void {
  const { remotePort } = socket
  let head = Buffer.alloc(0)
  let order: Omit<EchoOrder, 'from'> | undefined
  let received = 0

  open++
  seen.connections++
  seen[remotePort === dialerPort ? 'fromListeningPort' : 'fromEphemeralPort']++

  socket.once('close', () => { open-- })
  socket.on('error', (err: NodeJS.ErrnoException) => {
    if (!EXPECTED_ERRORS.includes(`${err.code}`)) {
      seen.errors++
    }
  })
  socket.on('end', () => { socket.end() })
  socket.on('drain', () => { socket.resume() })
  socket.on('data', chunk => {
    if (order == null) {
      head = Buffer.concat([head, chunk])
      const end = head.indexOf('\n')

      if (end === -1) {
        return
      }

      const { from, ...rest }: EchoOrder = JSON.parse(head.toString('utf8', 0, end))
      order = rest
      chunk = head.subarray(end + 1)

      // one that was reset before it was accepted has a message, but no peer any more
      if (remotePort != null && from !== remotePort) {
        seen.fromUnexpectedPort++
      }
    }

    received += chunk.byteLength

    if (order.resetAt != null && received >= order.resetAt) {
      seen.resets++
      socket.resetAndDestroy()
      return
    }

    if (!socket.write(chunk)) {
      socket.pause()
    }

    if (order.close === true && received === order.size) {
      socket.end()
    }
  })
}
