/**
 * Many connections that send a byte now and then, so that their upgrade never ends. Who is
 * thrown out comes back
 */

import net from 'node:net'
import { until } from '../kit/wait.ts'
import { leftOver, startWatching } from './resources.ts'
import { serve } from './troubles.ts'
import type { PeerAddress } from './loopback.ts'
import type { Socket } from 'node:net'

export type SlowLorisCrowd = typeof commands

const HANDSHAKE = Buffer.from('\x13/multistream/1.0.0\n\x07/noise\n\x00\x60')

/**
 * Where the members begin to be slow: at once, at the name of the encryption, in its first
 * message
 */
const BEGINNINGS = [0, 20, HANDSHAKE.byteLength]

/**
 * In ms: the time between two bytes, and the time to wait before the next try for who was
 * not let in
 */
const PAUSE = 3_000
const RETRY = 1_000

/**
 * Who is not let in is thrown out at once. Who is still there after so many ms was let in
 */
const LET_IN = 500

/**
 * How long it may take until all have arrived, in ms
 */
const ARRIVE_LIMIT = 20_000

/**
 * When each member was connected, in ms
 */
const connected = new Map<Socket, number>()
let members = 0
let arrived = 0
let thrownOut = 0

const commands = {
  /**
   * Resolves when all have been connected once
   */
  async besiege (address: PeerAddress, count: number): Promise<void> {
    startWatching()
    members = count

    for (let n = 0; n < count; n++) {
      join(address, n)
    }

    await until(() => arrived >= count, ARRIVE_LIMIT)
  },
  /**
   * How many members are let in, and how many of those were thrown out so far
   */
  seen: () => ({ letIn: [...connected.values()].filter(wasLetIn).length, thrownOut }),
  async leave (): Promise<void> {
    members = 0
    connected.forEach((_, socket) => { socket.destroy() })
    await until(() => connected.size === 0)
  },
  leftOver
}

serve(commands)

function join ({ host, port }: PeerAddress, n: number): void {
  if (n >= members) {
    return
  }

  const socket = net.connect({ host, port, localAddress: hostOf(n) })
  let sent = BEGINNINGS[n % BEGINNINGS.length]
  socket.write(HANDSHAKE.subarray(0, sent))

  const timer = setInterval(() => {
    const at = sent++ % HANDSHAKE.byteLength
    socket.write(HANDSHAKE.subarray(at, at + 1))
  }, PAUSE)

  socket.resume()
  socket.once('connect', () => {
    arrived++
    connected.set(socket, performance.now())

    if (members === 0) {
      // all others have left
      socket.destroy()
    }
  })
  // being reset is what is to be expected
  socket.on('error', () => {})
  socket.once('close', () => {
    const isLetIn = wasLetIn(connected.get(socket) ?? Infinity)
    connected.delete(socket)
    clearInterval(timer)

    if (isLetIn) {
      thrownOut++
    }

    setTimeout(() => { join({ host, port }, n) }, isLetIn ? 0 : RETRY)
  })
}

function wasLetIn (since: number): boolean {
  return performance.now() - since >= LET_IN
}

/**
 * The members come from 250 hosts, none of which is the honest peer's
 */
function hostOf (n: number): string {
  return `127.0.1.${1 + n % 250}`
}
