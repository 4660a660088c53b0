import net from 'node:net'
import { getSystemErrorName } from 'node:util'
import type { Bind, BoundSocket } from './bind.ts'
import type { Endpoint } from '../endpoint.ts'
import type { Socket } from 'node:net'

/**
 * The part of Node's internal TCP handle that is used if there is no public API. Methods return
 * 0 or a negative errno
 */
interface TCPHandle {
  open(socket: number): number
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
 * Binds with the TCP handle inside `net.Socket`, for versions of Node without
 * `net.BoundSocket`. `undefined` if there is no such handle
 */
export function findTCPHandle (): Bind | undefined {
  const Handle = findHandleClass()

  if (Handle == null) {
    return
  }

  return (local, { reusePort }) => bindHandle(new Handle(HANDLE_TYPE_SOCKET), local, reusePort ? UV_TCP_REUSEPORT : 0)
}

/** A socket of the system that has no handle of Node yet */
export interface OpenSocket {
  /** Its file descriptor, or its SOCKET on Windows */
  readonly descriptor: number
  close(): void
}

/**
 * Binds sockets that the caller opens, with the same handle. `undefined` if there is no such
 * handle
 *
 * @param open - opens a socket of the address family of `local`
 */
export function findTCPHandleFor (open: (local: Endpoint) => OpenSocket): Bind | undefined {
  const Handle = findHandleClass()

  if (Handle == null) {
    return
  }

  return local => {
    const socket = open(local)
    const handle = new Handle(HANDLE_TYPE_SOCKET)
    const errno = handle.open(socket.descriptor)

    if (errno !== 0) {
      handle.close()
      socket.close()
      throw bindError(errno, local)
    }

    return bindHandle(handle, local, 0)
  }
}

function bindHandle (handle: TCPHandle, { host, port }: Endpoint, flags: number): BoundSocket {
  const name: { port?: number } = {}

  const errno = (net.isIPv6(host) ? handle.bind6(host, port, flags | UV_TCP_IPV6ONLY) : handle.bind(host, port, flags)) ||
    // libuv reports EADDRINUSE only at the next call
    handle.getsockname(name)

  if (errno !== 0) {
    handle.close()
    throw bindError(errno, { host, port })
  }

  return {
    local: { host, port: name.port ?? port },
    toSocket: options => {
      // manualStart: a socket that is not connected yet must not be read from
      const internal: object = { handle, manualStart: true }

      return new net.Socket({ ...options, ...internal })
    },
    listen: (server, backlog) => { server.listen(handle, backlog) },
    close: () => { handle.close() }
  }
}

/** Takes the class from a `net.Socket` that looks up a name, as the socket has its handle then */
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

function bindError (errno: number, { host: address, port }: Endpoint): Error {
  const code = getSystemErrorName(errno)

  return Object.assign(new Error(`bind ${code} ${address}:${port}`), { errno, code, syscall: 'bind', address, port })
}
