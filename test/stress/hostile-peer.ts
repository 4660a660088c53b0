/**
 * All hostile peers of the part `hostile`, as a process of its own: servers to be
 * dialed and clients that dial, none of which ever becomes a proper connection
 */

import { once } from 'node:events'
import net from 'node:net'
import { within } from '../kit/wait.ts'
import { MISBEHAVIOURS } from './misbehaviours.ts'
import { leftOver, startWatching } from './resources.ts'
import { serve } from './troubles.ts'
import type { PeerAddress } from './loopback.ts'
import type { Misbehaviour } from './misbehaviours.ts'
import type { AddressInfo, Socket } from 'node:net'

export type HostilePeer = typeof commands

const seen = { fromListeningPort: 0, fromEphemeralPort: 0 }

const commands = {
  /**
   * Waits to be dialed by a node that listens on `nodePort`
   *
   * @returns where to dial each of the misbehaviours
   */
  async listen (nodePort: number): Promise<Record<string, PeerAddress>> {
    const addresses: Record<string, PeerAddress> = {}

    for (const [name, misbehave] of Object.entries(MISBEHAVIOURS)) {
      const server = net.createServer({ allowHalfOpen: true }, socket => {
        seen[socket.remotePort === nodePort ? 'fromListeningPort' : 'fromEphemeralPort']++
        begin(socket, misbehave)
      })
      server.listen({ host: '127.0.0.1', port: 0 })
      await once(server, 'listening')
      addresses[name] = { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
    }

    startWatching()

    return addresses
  },

  /**
   * Dials a node and misbehaves
   *
   * @returns how long it took the node to get rid of us, in ms
   */
  async attack (name: string, { host, port }: PeerAddress, limit: number): Promise<number> {
    const start = performance.now()
    const socket = net.connect({ host, port, allowHalfOpen: true })
    const closed = new Promise(resolve => socket.once('close', resolve))
    begin(socket, MISBEHAVIOURS[name])

    try {
      await within(limit, closed, `the end of a client that ${name}`)
    } finally {
      socket.destroy()
    }

    return performance.now() - start
  },
  seen: () => seen,
  leftOver
}

serve(commands)

function begin (socket: Socket, misbehave: Misbehaviour): void {
  // being reset is what is to be expected
  socket.on('error', () => {})
  socket.once('end', () => {
    // some go on for a while after the other end has closed
    setTimeout(() => { socket.destroy() }, 500)
  })
  socket.resume()
  misbehave(socket)
}
