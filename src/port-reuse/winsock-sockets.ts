import { createRequire } from 'node:module'
import { familyOf } from '../endpoint.ts'
import type { OpenSocket } from './tcp-handle.ts'
import type { Endpoint } from '../endpoint.ts'

/** A SOCKET of Windows. It fits into 32 bits, although its type has 64 */
type Socket = number | bigint

/** The functions of ws2_32.dll that libuv offers no way to call. libuv itself starts Winsock */
export interface Winsock {
  socket(family: number, type: number, protocol: number): Socket
  setsockopt(socket: Socket, level: number, name: number, value: Buffer, length: number): number
  closesocket(socket: Socket): number
}

/** A way to call functions of a library */
export interface ForeignFunctions {
  readonly name: string

  /** @throws {Error} if the library or one of the functions can't be loaded */
  load(library: string): Winsock
}

const LIBRARY = 'ws2_32.dll'

// of winsock2.h
const AF_INET = 2
const AF_INET6 = 23
const SOCK_STREAM = 1
const IPPROTO_TCP = 6
const SOL_SOCKET = 0xffff
const SO_REUSEADDR = 4

/** An int that is not 0 */
const ON = Buffer.from([1, 0, 0, 0])

/**
 * Loads Winsock, by koffi if it is installed, else by `node:ffi` (Node 26.9 and later)
 *
 * @throws {Error} that says what to install
 */
export function loadWinsock (ffi: ForeignFunctions | undefined = findKoffi() ?? findNodeFFI()): Winsock {
  if (ffi == null) {
    throw new Error('Winsock can not be called: install koffi (npm install koffi), or use Node 26.9 or later')
  }

  try {
    return ffi.load(LIBRARY)
  } catch (cause: any) {
    throw new Error(`Winsock can not be called by ${ffi.name}: ${cause.message}`, { cause })
  }
}

/** Opens a TCP socket with SO_REUSEADDR */
export function openReusable ({ socket, setsockopt, closesocket }: Winsock, { host }: Endpoint): OpenSocket {
  const opened = socket(familyOf(host) === 6 ? AF_INET6 : AF_INET, SOCK_STREAM, IPPROTO_TCP)
  const descriptor = Number(opened)

  // INVALID_SOCKET has all bits set
  if (descriptor === -1 || descriptor >= Number.MAX_SAFE_INTEGER) {
    throw Object.assign(new Error('socket EMFILE: no more sockets can be opened'), { code: 'EMFILE', syscall: 'socket' })
  }

  if (setsockopt(opened, SOL_SOCKET, SO_REUSEADDR, ON, ON.byteLength) !== 0) {
    closesocket(opened)
    throw new Error('SO_REUSEADDR can not be set')
  }

  return { descriptor, close: () => { closesocket(opened) } }
}

/** `undefined` if koffi is not installed */
export function findKoffi (): ForeignFunctions | undefined {
  let koffi: any

  try {
    koffi = createRequire(import.meta.url)('koffi')
  } catch (err: any) {
    if (err.code === 'MODULE_NOT_FOUND') {
      return
    }

    throw err
  }

  return {
    name: 'koffi',
    load: library => {
      const winsock = koffi.load(library)

      return {
        socket: winsock.func('socket', 'uintptr_t', ['int', 'int', 'int']),
        setsockopt: winsock.func('setsockopt', 'int', ['uintptr_t', 'int', 'int', 'void *', 'int']),
        closesocket: winsock.func('closesocket', 'int', ['uintptr_t'])
      }
    }
  }
}

/** `undefined` before Node 26.9 */
export function findNodeFFI (): ForeignFunctions | undefined {
  const ffi: any = process.getBuiltinModule('node:ffi')

  return ffi && {
    name: 'node:ffi',
    load: library => ffi.dlopen(library, {
      socket: { return: 'uint64', arguments: ['int32', 'int32', 'int32'] },
      setsockopt: { return: 'int32', arguments: ['uint64', 'int32', 'int32', 'buffer', 'int32'] },
      closesocket: { return: 'int32', arguments: ['uint64'] }
    }).functions
  }
}
