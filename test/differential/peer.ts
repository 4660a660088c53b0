/** The other end of a connection: a plain socket, which knows nothing of libp2p */

import { once } from 'node:events'
import net from 'node:net'
import { Flow, HTTP_BYTES } from './flow.ts'
import type { PeerKind } from './program.ts'
import type { Socket } from 'node:net'

export class Peer {
  /** What it saw, in order. Data in a row is one event */
  readonly events: string[] = []
  readonly toTransport: Flow = new Flow()
  readonly toPeer: Flow = new Flow()
  readonly #kind: PeerKind
  readonly #onEvent: () => void
  #socket?: Socket

  constructor (kind: PeerKind = 'reads', onEvent: () => void) {
    this.#kind = kind
    this.#onEvent = onEvent
  }

  connected (socket: Socket): void {
    if (this.#socket != null) {
      this.#saw('one more connection')
      socket.on('error', () => {}).destroy()
      return
    }

    this.#socket = socket
    this.#saw('connection')

    socket.on('data', data => {
      this.#saw('data')
      this.toPeer.received(data)

      if (this.#kind === 'echoes') {
        this.sends(data.byteLength)
      }
    })
    socket.on('end', () => {
      this.#saw('FIN')

      if (this.#kind !== 'keeps its half open') {
        socket.end()
      }
    })
    // EPIPE is what the second write after the peer's RST gets, ECONNRESET the first
    socket.on('error', (err: NodeJS.ErrnoException) => { this.#saw(err.code === 'EPIPE' || err.code === 'ECONNRESET' ? 'RST' : `${err.code}`) })
    socket.on('close', () => { this.#saw('closed') })

    switch (this.#kind) {
      case 'does not read': this.pauses(); break
      case 'says HTTP': this.sends(HTTP_BYTES); break
      case 'ends': this.ends(); break
      case 'resets': this.resets(); break
      default:
    }
  }

  get localPort (): number | undefined {
    return this.#socket?.localPort
  }

  sends (bytes: number): void {
    if (this.#socket?.writable === true) {
      this.#socket.write(this.toTransport.next(bytes))
    }
  }

  ends (): void { this.#socket?.end() }

  resets (): void { this.#socket?.resetAndDestroy() }

  reads (): void { this.#socket?.resume() }

  pauses (): void { this.#socket?.pause() }

  leaves (): void { this.#socket?.destroy() }

  #saw (event: string): void {
    this.#onEvent()

    if (event !== this.events.at(-1)) {
      this.events.push(event)
    }
  }
}

/** Hears on all addresses of both families, unless it is given one */
export async function startPeerServer (port: number, peer: Peer, host: string = '::'): Promise<net.Server> {
  const server = net.createServer({ allowHalfOpen: true }, socket => { peer.connected(socket) })
  server.listen(port, host)
  await once(server, 'listening')

  return server
}
