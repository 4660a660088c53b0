import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { expect } from 'aegir/chai'
import { otherAddress } from '../../src/port-reuse/other-address.ts'
import { findTCPHandle } from '../../src/port-reuse/tcp-handle.ts'
import { findKoffi, findNodeFFI } from '../../src/port-reuse/winsock-sockets.ts'
import { afterTrial } from '../../src/port-reuse/winsock.ts'
import { startServer } from '../fixtures/server.ts'
import { HAS_COMPILER, where } from '../fixtures/system.ts'
import { WHY_NO_WINSOCK, WINSOCK } from '../kit/port-reuse.ts'
import { createTransport, ruleOrWhy } from '../kit/transport.ts'
import { dialsFromListeningPorts, listens } from './contract.ts'
import type { Bind } from '../../src/port-reuse/bind.ts'

describe('winsock', () => {
  if (WINSOCK != null) {
    const portReuse = WINSOCK()

    listens(portReuse)
    dialsFromListeningPorts(portReuse)

    return
  }

  if (WHY_NO_WINSOCK.name !== 'UnsupportedOperationError') {
    it.skip(`is not used here: ${WHY_NO_WINSOCK.message}`)

    return
  }

  it('is refused elsewhere than on Windows', () => {
    expect(WHY_NO_WINSOCK.message).to.match(/^winsock\(\) is for Windows. On .*, leave the option portReuse out$/)
  })

  where(HAS_COMPILER).it('calls functions of a library', () => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'winsock-'))
    const library = path.join(directory, 'winsock.so')

    try {
      // the C library has the other two
      execFileSync('cc', ['-shared', '-fPIC', '-x', 'c', '-', '-o', library], { input: '#include <unistd.h>\nint closesocket(long s) { return close(s); }' })

      for (const ffi of [findKoffi(), findNodeFFI()].filter(ffi => ffi != null)) {
        const { socket, setsockopt, closesocket } = ffi.load(library)
        const open = socket(2, 1, 6)

        expect(Number(open)).to.be.greaterThan(0)
        // SOL_TCP, TCP_NODELAY
        expect(setsockopt(open, 6, 1, Buffer.from([1, 0, 0, 0]), 4)).to.equal(0)
        expect(closesocket(open)).to.equal(0)
        expect(closesocket(open)).to.equal(-1)
      }
    } finally {
      fs.rmSync(directory, { recursive: true })
    }
  })
})

describe('a strategy that is tried out first', () => {
  const handle = findTCPHandle() as Bind

  function sharesPort (bind: Bind): boolean {
    try {
      return otherAddress(bind) != null
    } catch {
      // this kernel does not allow it
      return false
    }
  }

  async function dialAfterTrial (bind: Bind): Promise<{ source: string, why?: string }> {
    const server = await startServer()
    const { transport, listen, connect, stop } = createTransport({ portReuse: afterTrial(bind) })
    await listen('/ip4/127.0.0.1/tcp/0')
    const { source } = await connect(`/ip4/127.0.0.1/tcp/${server.port}`)
    const support = transport.portReuse()
    await Promise.all([stop(), server.stop()])

    return { source: ruleOrWhy(source), why: support.available ? undefined : support.why }
  }

  if (!sharesPort(handle)) {
    it('says what failed, and has dials come from ephemeral ports', async () => {
      const { source, why } = await dialAfterTrial(handle)

      expect(why).to.match(/dial [12] beside a listener on 0.0.0.0 failed: bind (EADDRINUSE|EACCES)/)
      expect(source).to.be.oneOf(['unusable', 'unavailable'])
    })

    it('does not believe a socket that has another port', async () => {
      const { why } = await dialAfterTrial((local, options) => handle({ ...local, port: 0 }, options))

      expect(why).to.match(/dial 2 beside a listener on 0.0.0.0 failed: it came from port \d+/)
    })
  } else {
    it('is used from the first dial on', async () => {
      expect(await dialAfterTrial(handle)).to.deep.equal({ source: 'loopback', why: undefined })
    })
  }
})
