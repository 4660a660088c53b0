/**
 * @packageDocumentation
 *
 * Makes dials come from the listening port on Windows, where this is not the default yet: it has
 * run under wine only.
 *
 * @example
 *
 * ```TypeScript
 * import { createLibp2p } from 'libp2p'
 * import { reuseportTcp } from 'libp2p-reuseport-tcp'
 * import { winsock } from 'libp2p-reuseport-tcp/winsock'
 *
 * const node = await createLibp2p({
 *   addresses: { listen: ['/ip4/0.0.0.0/tcp/4001'] },
 *   transports: [reuseportTcp({ portReuse: process.platform === 'win32' ? winsock() : undefined })]
 * })
 * ```
 */

import { once } from 'node:events'
import net from 'node:net'
import { UnsupportedOperationError } from '@libp2p/interface'
import { listenAsUsual, noReuse } from './no-reuse.ts'
import { connectFromOtherAddress } from './other-address.ts'
import { findTCPHandleFor } from './tcp-handle.ts'
import { loadWinsock, openReusable } from './winsock-sockets.ts'
import type { Bind } from './bind.ts'
import type { FindPortReuse, PortReuse, Strategy } from './port-reuse.ts'
import type { AddressInfo } from 'node:net'

export type { FindPortReuse, ListenOptions, PortReuse, PortReuseSupport, Strategy } from './port-reuse.ts'

const NAME = 'SO_REUSEADDR at another address of the port, by Winsock'

/** How long a connection on loopback may take in the trial, in ms */
const TRIAL_MS = 5_000

/** How long to wait after a trial for which there were no sockets left, in ms */
const AGAIN_MS = 1_000

/** The listeners of the trial. Each is reached at 127.0.0.1 */
const TRIAL_LISTENERS = ['0.0.0.0', '127.0.0.1']

/**
 * Port reuse on Windows. libuv sets no socket option there. So Winsock is called by koffi, an
 * optional peer dependency, or by `node:ffi` of Node 26.9 and later.
 *
 * A listener stays as it is, and must never set SO_REUSEADDR: any process could then take its
 * connections. A dial sets SO_REUSEADDR, and binds to the listening port at another address than
 * the listener's. If the listener is on the wildcard, this is the address that the kernel would
 * use as source; if it is on an address, this is the wildcard. Windows allows both (Microsoft,
 * "Using SO_REUSEADDR and SO_EXCLUSIVEADDRUSE"). If there are listeners on both, the dial can
 * bind to neither.
 *
 * The first transport tries this out on loopback, and its dials wait for the result. If the trial
 * fails, dials come from ephemeral ports, and `portReuse()` of the transport has the reason.
 *
 * @throws {UnsupportedOperationError} on another system than Windows
 * @throws {Error} if Winsock can't be called. The error says what to install
 */
export function winsock (): FindPortReuse {
  if (process.platform !== 'win32') {
    throw new UnsupportedOperationError(`winsock() is for Windows. On ${process.platform}, leave the option portReuse out`)
  }

  const functions = loadWinsock()
  const bind = findTCPHandleFor(local => openReusable(functions, local))

  return bind == null ? () => noReuse('net.Socket has no TCP handle') : afterTrial(withErrorsOfWindows(bind))
}

/** A bind beside a listener fails with EACCES if the listener has this very address */
function withErrorsOfWindows (bind: Bind): Bind {
  return (local, options) => {
    try {
      return bind(local, options)
    } catch (err: any) {
      throw err.code === 'EACCES' ? Object.assign(err, { code: 'EADDRINUSE', message: err.message.replace('EACCES', 'EADDRINUSE') }) : err
    }
  }
}

/**
 * Uses `bind` if a trial shows that it can be used here
 *
 * @internal
 */
export function afterTrial (bind: Bind): FindPortReuse {
  const strategy: Strategy = {
    listen: (server, local, { backlog }) => {
      listenAsUsual(server, local, backlog)

      return undefined
    },
    connect: connectFromOtherAddress(bind)
  }
  let trial: Promise<void> | undefined
  let failed: { why: string, again: number } | undefined

  const untilTried = async (): Promise<void> => {
    trial ??= tryOut(strategy).catch(err => {
      failed = { why: `${NAME}: ${err.message}`, again: err.code === 'EMFILE' ? performance.now() + AGAIN_MS : Infinity }
    })
    await trial

    if (failed != null) {
      throw new Error(failed.why)
    }
  }
  const portReuse: PortReuse = {
    ...strategy,
    support: { available: true, name: NAME },
    connect: async (...args) => {
      await untilTried()

      return strategy.connect(...args)
    }
  }

  return () => {
    if (failed != null && performance.now() >= failed.again) {
      trial = failed = undefined
    }

    // nobody may be waiting for the trial yet
    void untilTried().catch(() => {})

    return failed == null ? portReuse : noReuse(failed.why)
  }
}

/**
 * Dials twice from the port of a listener on the wildcard, and of one on an address. Meanwhile the
 * listener has to go on accepting, also at the address that the dials are bound to
 *
 * @throws {Error} that says which of these failed
 */
async function tryOut ({ connect }: Strategy): Promise<void> {
  for (const host of TRIAL_LISTENERS) {
    const listener = net.createServer().listen(0, host)
    const peers = [0, 1].map(() => net.createServer().listen(0, '127.0.0.1'))
    const servers = [listener, ...peers]
    const sockets: net.Socket[] = []
    let step = 'listening'

    servers.forEach(server => server.on('connection', socket => { sockets.push(socket) }))

    try {
      await Promise.all(servers.map(async server => once(server, 'listening')))
      const [local, ...destinations] = servers.map(server => ({ host, port: (server.address() as AddressInfo).port }))

      for (const [i, { port }] of destinations.entries()) {
        step = `dial ${i + 1} beside a listener on ${host}`
        sockets.push(await connect(local, { host: '127.0.0.1', port }, {}))
      }

      await Promise.all(sockets.map(async socket => {
        await untilConnected(socket)

        if (socket.localPort !== local.port) {
          throw new Error(`it came from port ${socket.localPort}, not ${local.port}`)
        }
      }))
      step = `accepting on ${host} while dials hold the port`
      const inbound = net.connect(local.port, '127.0.0.1')
      sockets.push(inbound)
      const accepted = once(listener, 'connection', { signal: AbortSignal.timeout(TRIAL_MS) })
      await Promise.all([untilConnected(inbound), accepted])
    } catch (err: any) {
      throw Object.assign(new Error(`${step} failed: ${err.message}`, { cause: err }), { code: err.code })
    } finally {
      sockets.forEach(socket => { socket.destroy() })
      servers.forEach(server => { server.close() })
    }
  }
}

async function untilConnected (socket: net.Socket): Promise<void> {
  await once(socket, 'connect', { signal: AbortSignal.timeout(TRIAL_MS) })
}
