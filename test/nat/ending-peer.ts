/**
 * One end of simultaneous opens, to be run in a machine of the lab. It connects at a given
 * instant, and ends the connection in a given way
 */

import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { multiaddr } from '@multiformats/multiaddr'
import pDefer from 'p-defer'
import { serve } from '../kit/serve.ts'
import { createTransport, rawUpgrader } from '../kit/transport.ts'
import { within } from '../kit/wait.ts'
import type { Ending } from './ended-punches.ts'
import type { TestTransport } from '../kit/transport.ts'
import type { Socket } from 'node:net'

/** How long a dial may take, in ms */
const LIMIT = 20_000

const ENDINGS: Record<Exclude<Ending, 'this package'>, (socket: Socket) => void> = {
  FIN: socket => { socket.destroy() },
  RST: socket => { socket.resetAndDestroy() },
  'FIN and RST': socket => { socket.end(() => { socket.resetAndDestroy() }) },
  nothing: () => {}
}

/** The function that ends the connection, by its port */
const ends = new Map<number, () => void>()
const transports = new Map<number, TestTransport>()

const peer = {
  /** Listens, if the connections from this port are dialed by this package */
  async prepare (port: number, ending: Ending): Promise<void> {
    if (ending === 'this package') {
      const local = createTransport()
      transports.set(port, local)
      await local.listen(`/ip4/0.0.0.0/tcp/${port}`)
    }
  },

  /**
   * Connects to `host` at the instant `at`, from and to the same port
   *
   * @returns how many ms it took, or why it failed
   */
  async connect (host: string, port: number, ending: Ending, at: number): Promise<string> {
    await delay(at - Date.now())
    const connecting = ending === 'this package' ? punch(host, port) : open(host, port, ENDINGS[ending])

    return within(LIMIT, connecting, 'connect').then(() => `${Date.now() - at}`, err => err.code ?? err.message)
  },

  async end (port: number, at: number): Promise<void> {
    await delay(at - Date.now())
    ends.get(port)?.()
  }
}

export type EndingPeer = typeof peer

serve(peer)

async function open (host: string, port: number, end: (socket: Socket) => void): Promise<void> {
  const socket = net.connect({ host, port, localPort: port, allowHalfOpen: end === ENDINGS.nothing })
  ends.set(port, () => { end(socket) })

  await new Promise<void>((resolve, reject) => { socket.once('connect', resolve).on('error', reject) })
}

/** The dial of a hole punch, whose upgrade lasts until the dial is aborted */
async function punch (host: string, port: number): Promise<void> {
  const controller = new AbortController()
  const connected = pDefer<void>()
  ends.set(port, () => { controller.abort() })

  transports.get(port)?.transport.dial(multiaddr(`/ip4/${host}/tcp/${port}`), {
    initiator: true,
    reusePort: 'require',
    signal: controller.signal,
    upgrader: rawUpgrader(async (connection, { signal }) => {
      connected.resolve()
      await new Promise((resolve, reject) => { signal?.addEventListener('abort', reject) })
    })
  }).catch(connected.reject)

  return connected.promise
}
