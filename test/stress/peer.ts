import { once } from 'node:events'
import net from 'node:net'
import type { AddressInfo } from 'node:net'

/** The peer closes when it has echoed so many bytes */
export const CLOSES_AFTER = 65_536

/** The peer resets before it has received so many bytes */
export const RESETS_BEFORE = 200_000

/** Counts where connections come from, and how many are open */
export interface PeerServer {
  readonly port: number
  readonly sources: number[]
  open(): Promise<number>
  close(): void
}

/** Knows nothing of libp2p, and echoes. It listens on all addresses of the loopback network */
export async function startPeer (kind: 'echoes' | 'closes' | 'resets'): Promise<PeerServer> {
  const sources: number[] = []
  const server = net.createServer({ allowHalfOpen: true }, socket => {
    const resetAt = kind === 'resets' ? sources.length * 7_919 % RESETS_BEFORE : Infinity
    let received = 0

    sources.push(Number(socket.remotePort))
    // of aborted connections
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      if (code !== 'ECONNRESET' && code !== 'EPIPE') {
        throw new Error(`The peer saw ${code}`)
      }
    })
    socket.on('end', () => { socket.end() })
    socket.on('drain', () => { socket.resume() })
    socket.on('data', chunk => {
      received += chunk.byteLength

      if (received > resetAt) {
        socket.resetAndDestroy()
      } else if (!socket.write(chunk)) {
        socket.pause()
      }

      if (kind === 'closes' && received === CLOSES_AFTER) {
        socket.end()
      }
    })
  })
  server.listen({ host: '0.0.0.0', port: 0, backlog: 511 })
  await once(server, 'listening')

  return {
    port: (server.address() as AddressInfo).port,
    sources,
    open: async () => new Promise(resolve => { server.getConnections((_, open) => { resolve(open) }) }),
    close: () => { server.close() }
  }
}

/** Each allows another connection from one and the same port */
export function loopback (n: number, port: number): string {
  return `/ip4/127.1.${n >> 8}.${n & 255}/tcp/${port}`
}
