/**
 * Has many connections, which it dialed or accepted, with an upgrader that does
 * nothing
 */

import { setTimeout as delay } from 'node:timers/promises'
import { multiaddr } from '@multiformats/multiaddr'
import { inParallel } from '../../test/stress/in-parallel.ts'
import { serve } from '../../test/stress/participant.ts'
import { createTransport, dial, listen } from '../contestants.ts'
import { loopbackHost } from '../loopback-host.ts'
import { settled } from '../settled.ts'
import type { TransportName } from '../row.ts'
import type { MultiaddrConnection, Transport } from '@libp2p/interface'

export type Dialer = typeof commands

const CONCURRENCY = 50

let transport: Transport
const connections: MultiaddrConnection[] = []

const commands = {
  async listen (name: TransportName): Promise<number> {
    transport = createTransport(name)

    return listen(transport, connection => { connections.push(connection) })
  },

  /**
   * Dials so many loopback addresses, 50 at a time, and keeps the connections
   *
   * @returns the time and the CPU time that it took, in µs
   */
  async dial (port: number, firstHost: number, count: number): Promise<{ time: number, cpu: number }> {
    const addresses = Array.from({ length: count }, (_, i) => multiaddr(`/ip4/${loopbackHost(firstHost + i)}/tcp/${port}`))

    const cpuBefore = process.cpuUsage()
    const start = performance.now()
    const dialed = await inParallel(CONCURRENCY, addresses, async address => dial(transport, address))
    const time = (performance.now() - start) * 1000
    const { user, system } = process.cpuUsage(cpuBefore)

    connections.push(...dialed)

    return { time, cpu: user + system }
  },

  /**
   * Waits until so many connections are open
   *
   * @returns how many are
   */
  open: async (expected: number) => settled(() => connections.filter(({ status }) => status === 'open').length, expected),

  /**
   * Closes the newest
   */
  async close (count: number): Promise<void> {
    await Promise.all(connections.splice(-count).map(async connection => connection.close()))
  },

  /**
   * In bytes, after garbage collection. Needs `--expose-gc`
   */
  async memory (): Promise<{ heap: number, rss: number }> {
    // what a finalizer releases is collected by the next one
    for (let i = 0; i < 5; i++) {
      globalThis.gc?.()
      await delay(20)
    }

    const { heapUsed, arrayBuffers, rss } = process.memoryUsage()

    return { heap: heapUsed + arrayBuffers, rss }
  }
}

serve(commands)
