import net from 'node:net'
import { getSystemErrorName } from 'node:util'
import type { Endpoint } from '../endpoint.ts'
import type { Server, Socket, SocketConstructorOpts } from 'node:net'

/**
 * A TCP socket that is bound to a local endpoint and neither listens nor is
 * connected. Exactly one of its methods must be called, once
 */
export interface BoundSocket {
  /**
   * Where it is bound; the port is the real one if 0 was asked for
   */
  readonly local: Endpoint

  /**
   * Begin to connect. What the network answers, including EADDRINUSE and
   * EADDRNOTAVAIL for a 4-tuple that is taken, arrives as the socket's `error`
   * event
   */
  connect(remote: Endpoint, options: SocketConstructorOpts): Socket

  /**
   * Have `server` listen on it. The socket listens when this returns; the
   * server says so on the next tick. Errors arrive as its `error` event
   */
  listen(server: Server, backlog?: number): void

  close(): void
}

export interface BindOptions {
  /**
   * Set SO_REUSEPORT, so that several sockets of the same user can be bound to
   * one endpoint, provided that all of them set it. Without, binding to a port
   * that anybody listens on is EADDRINUSE
   */
  reusePort: boolean
}

interface Bind {
  (local: Endpoint, options: BindOptions): BoundSocket
}

/**
 * How ports are reused on this machine, or why they can't be: one of the two is there
 */
export interface PortReuse {
  /**
   * What binds a socket to a port that is listened on: `net.BoundSocket` or
   * `TCP handle in net.Socket`
   */
  readonly name?: string
  readonly unavailable?: string
}

interface Probed extends PortReuse {
  readonly bind?: Bind

  /**
   * The probe itself could not be made: the next one may say something else
   */
  readonly inconclusive?: boolean
}

let known: Probed | undefined

/**
 * Why ports can't be reused here; `undefined` where they can.
 *
 * This is found out once per process, by trying, not by looking at version
 * numbers. A process that has no descriptors or memory left for that tries again the
 * next time.
 */
export function reuseUnavailable (): string | undefined {
  return probedOnce().unavailable
}

/**
 * As {@link reuseUnavailable}, and how it is done where it can be
 */
export function portReuse (): PortReuse {
  const { name, unavailable } = probedOnce()

  return { name, unavailable }
}

/**
 * Bind a socket to a local endpoint; port 0 lets the kernel choose. IPv6
 * sockets are IPv6-only. To be used where {@link reuseUnavailable} says nothing
 *
 * @throws {Error} the system's error, at once: EADDRINUSE, EADDRNOTAVAIL, EACCES, EMFILE…
 */
export function bindSocket (local: Endpoint, options: BindOptions): BoundSocket {
  const { bind, unavailable } = probedOnce()

  if (bind == null) {
    throw new Error(`Can not bind to ${local.host}:${local.port}: ${unavailable}`)
  }

  return bind(local, options)
}

/**
 * What the kernel answers when it is not about ports at all
 */
const OUT_OF_RESOURCES = ['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM']

function probedOnce (): Probed {
  if (known != null) {
    return known
  }

  const probed = probe()

  if (probed.inconclusive !== true) {
    known = probed
  }

  return probed
}

function probe (): Probed {
  const reasons = []
  let inconclusive = false

  for (const [name, find] of Object.entries({ 'net.BoundSocket': findPublicBind, 'TCP handle in net.Socket': findHandleBind })) {
    try {
      const bind = find()

      if (bind == null) {
        reasons.push(`there is no ${name}`)
        continue
      }

      assertReusesPort(bind)

      return { name, bind }
    } catch (err: any) {
      reasons.push(`${name}: ${err.message}`)
      inconclusive ||= OUT_OF_RESOURCES.includes(err.code)
    }
  }

  return { unavailable: reasons.join('; '), inconclusive }
}

/**
 * A second socket must be able to bind to a port that is listened on. Two
 * sockets that are merely bound prove nothing: SO_REUSEADDR, which libuv always
 * sets, allows that.
 */
function assertReusesPort (bind: Bind): void {
  const server = net.createServer()
  const listening = bind({ host: '127.0.0.1', port: 0 }, { reusePort: true })
  listening.listen(server)

  try {
    const second = bind(listening.local, { reusePort: true })
    second.close()

    // Deno holds EADDRINUSE back until connect(2), and says that it is bound to port 0
    if (second.local.port !== listening.local.port) {
      throw new Error('it does not bind to a port that is listened on')
    }
  } finally {
    server.close()
  }
}

/**
 * The public API of Node 24.21 and later
 */
function findPublicBind (): Bind | undefined {
  if (net.BoundSocket == null) {
    return
  }

  return ({ host, port }, { reusePort }) => {
    const handle = new net.BoundSocket({ host, port, reusePort, ipv6Only: net.isIPv6(host) })

    return {
      local: { host, port: handle.address().port },
      connect: (remote, options) => new net.Socket({ ...options, handle }).connect(remote),
      listen: (server, backlog) => { server.listen(handle, backlog) },
      close: () => { handle.close() }
    }
  }
}

/**
 * The part of Node's internal TCP handle that is used where there is no public
 * API. Methods return 0 or a negative errno
 */
interface TCPHandle {
  bind(host: string, port: number, flags: number): number
  bind6(host: string, port: number, flags: number): number
  getsockname(out: { port?: number }): number
  close(): void
}

const HANDLE_TYPE_SOCKET = 0

// libuv's enum uv_tcp_flags
const UV_TCP_IPV6ONLY = 1
const UV_TCP_REUSEPORT = 2

/**
 * What `net.BoundSocket` does, with the handle that a `net.Socket` shows while
 * it looks a name up
 */
function findHandleBind (): Bind | undefined {
  const Handle = findHandleClass()

  if (Handle == null) {
    return
  }

  return ({ host, port }, { reusePort }) => {
    const handle = new Handle(HANDLE_TYPE_SOCKET)
    const flags = reusePort ? UV_TCP_REUSEPORT : 0
    const name: { port?: number } = {}

    const errno = (net.isIPv6(host) ? handle.bind6(host, port, flags | UV_TCP_IPV6ONLY) : handle.bind(host, port, flags)) ||
      // libuv holds EADDRINUSE back until the next call
      handle.getsockname(name)

    if (errno !== 0) {
      handle.close()
      throw bindError(errno, host, port)
    }

    return {
      local: { host, port: name.port ?? port },
      connect: (remote, options) => {
        // manualStart: do not read from a socket that is not connected yet
        const internal: object = { handle, manualStart: true }

        return new net.Socket({ ...options, ...internal }).connect(remote)
      },
      listen: (server, backlog) => { server.listen(handle, backlog) },
      close: () => { handle.close() }
    }
  }
}

function findHandleClass (): (new (type: number) => TCPHandle) | undefined {
  const socket: Socket & { _handle?: object } = new net.Socket()
  let handle: object | undefined

  // the lookup never answers, so nothing is ever connected
  socket.connect({
    host: 'localhost',
    port: 1,
    autoSelectFamily: false,
    lookup: () => { handle = socket._handle }
  })
  socket.destroy()

  const Handle: any = handle?.constructor

  return typeof Handle?.prototype.bind6 === 'function' ? Handle : undefined
}

function bindError (errno: number, address: string, port: number): Error {
  const code = getSystemErrorName(errno)

  return Object.assign(new Error(`bind ${code} ${address}:${port}`), { errno, code, syscall: 'bind', address, port })
}
