/**
 * A thread of the listening process, so that it can connect while the listener's
 * thread stands still
 */

import { once } from 'node:events'
import net from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import { loopbackHost } from '../loopback-host.ts'
import type { Socket } from 'node:net'

export interface ConnectOrder {
  port: number
  count: number
}

const flag: Int32Array<SharedArrayBuffer> = workerData
let sockets: Socket[] = []

parentPort?.on('message', async (order: ConnectOrder | 'close') => {
  if (order === 'close') {
    await Promise.all(sockets.splice(0).map(async socket => {
      socket.end()
      await once(socket, 'close')
    }))
    parentPort?.postMessage('closed')
    return
  }

  sockets = await Promise.all(Array.from({ length: order.count }, async (_, n) => {
    const socket = net.connect({ host: '127.0.0.1', port: order.port, localAddress: loopbackHost(n) })
    await once(socket, 'connect')
    socket.resume()

    return socket
  }))

  parentPort?.postMessage(sockets.map(({ localPort }) => localPort))
  Atomics.store(flag, 0, 1)
  Atomics.notify(flag, 0)
})
