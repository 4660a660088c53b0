import { once } from 'node:events'
import net from 'node:net'
import pMap from 'p-map'
import { until } from '../test/kit/wait.ts'
import { countBytes } from './bytes.ts'
import type { AddressInfo, Socket } from 'node:net'

/**
 * The length of the listener's queue. A dial is done when the kernel has queued it. With a short
 * queue it would drop some SYNs, and they would be sent again a second later
 */
const BACKLOG = 4_096
const PARALLEL = 50

/** How long to wait for each event that must come, in ms */
const TIMEOUT = 20_000

/**
 * The other end of connections without an upgrade. It does not use libp2p. It checks what the
 * measured process says: a figure for connections or bytes that never arrived would be wrong
 */
export class Witness {
  /** It is in this process */
  readonly pid = process.pid
  readonly #server: net.Server
  readonly #open = new Set<Socket>()
  readonly #made: Socket[] = []
  #sources: number[] = []
  #arrived = { bytes: 0, first: 0, last: 0 }

  constructor () {
    this.#server = net.createServer(socket => {
      const count = countBytes()
      const first = performance.now()

      this.#keep(socket)
      this.#sources.push(Number(socket.remotePort))
      this.#arrived = { bytes: 0, first, last: first }
      socket.once('data', () => { this.#arrived.first = performance.now() })
      socket.on('data', chunk => { Object.assign(this.#arrived, { bytes: count(chunk), last: performance.now() }) })
    })
  }

  /** @returns the port */
  async listen (): Promise<number> {
    this.#server.listen({ host: '0.0.0.0', port: 0, backlog: BACKLOG })
    await once(this.#server, 'listening')

    return (this.#server.address() as AddressInfo).port
  }

  /**
   * Waits until this many connections were accepted since the last call, and returns the ports
   * that they came from
   */
  async accepted (count: number): Promise<number[]> {
    await until(() => this.#sources.length >= count, TIMEOUT)

    return this.#sources.splice(0)
  }

  /** Waits until this many connections are open, accepted and made ones together */
  async open (count: number): Promise<void> {
    await until(() => this.#open.size === count, TIMEOUT)
  }

  /**
   * Waits until this many bytes have arrived on the newest connection, and checks them. Returns
   * the seconds from the first byte to the last
   */
  async received (bytes: number): Promise<number> {
    await until(() => this.#arrived.bytes === bytes, TIMEOUT)

    return (this.#arrived.last - this.#arrived.first) / 1000
  }

  /** Opens connections, each from another address */
  async connect (port: number, count: number): Promise<void> {
    await pMap(Array.from({ length: count }).keys(), async n => {
      const socket = net.connect({ host: '127.0.0.1', port, localAddress: `127.1.${n >> 8}.${n & 255}` })
      this.#keep(socket)
      await once(socket, 'connect')
      // without this, the end is not noticed
      this.#made.push(socket.resume())
    }, { concurrency: PARALLEL })
  }

  /** Closes the connections that it opened */
  disconnect (): void {
    this.#made.splice(0).forEach(socket => { socket.end() })
  }

  stop (): void {
    this.#server.close()
    this.#open.forEach(socket => { socket.destroy() })
  }

  #keep (socket: Socket): void {
    this.#open.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => this.#open.delete(socket))
  }
}
