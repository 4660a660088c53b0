import { once } from 'node:events'
import net from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

export interface SilentServer {
  port: number

  /** The other ends of the connections, and the ports that they came from */
  sockets: Socket[]
  ports: Array<number | undefined>

  /** Resolves with the first connection */
  connected: Promise<Socket>
  stop(): Promise<void>
}

/**
 * Accepts connections, on loopback if nothing else is said, and closes those that the other end closes
 */
export async function startSilentServer (host: string = '127.0.0.1'): Promise<SilentServer> {
  const sockets: Socket[] = []
  const ports: Array<number | undefined> = []
  const server = net.createServer(socket => {
    sockets.push(socket.on('error', () => {}).resume())
    ports.push(socket.remotePort)
  })
  const connected = once(server, 'connection').then(([socket]) => socket)

  await once(server.listen(0, host), 'listening')

  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    ports,
    connected,
    async stop () {
      sockets.forEach(socket => socket.destroy())
      server.close()
      await once(server, 'close')
    }
  }
}
