import { once } from 'node:events'
import { expect } from 'aegir/chai'
import { startChild } from '../fixtures/child.ts'
import { freePort } from '../fixtures/free-port.ts'
import { startServer } from '../fixtures/server.ts'
import { HAS_SO_REUSEPORT } from '../fixtures/system.ts'
import type { Child } from '../fixtures/child.ts'
import type { TestServer } from '../fixtures/server.ts'
import type { Socket } from 'node:net'

describe('a process that is killed and started again on its port', () => {
  const cleanup: Array<() => unknown> = []

  afterEach(async () => {
    await Promise.all(cleanup.splice(0).map(fn => fn()))
  })

  async function start (port: number, bytes: number = 0): Promise<Child> {
    const child = startChild('restartable.ts', [`${port}`, `${bytes}`])
    cleanup.push(async () => child.kill())
    expect(await child.message()).to.equal('listening')

    return child
  }

  async function startPeer (handle: (socket: Socket) => void): Promise<{ server: TestServer, address: string }> {
    const server = await startServer('127.0.0.1', 0, handle)
    cleanup.push(async () => server.stop())

    return { server, address: `/ip4/127.0.0.1/tcp/${server.port}` }
  }

  it('listens at once and dials the same peers, and others, from its port', async () => {
    const port = await freePort()
    const endWithPeer = (socket: Socket): void => {
      socket.resume()
      socket.on('end', () => socket.end())
    }
    const peers = await Promise.all(Array.from({ length: 5 }, async () => startPeer(endWithPeer)))

    for (let i = 0; i < 5; i++) {
      const child = await start(port)

      for (const { address } of peers) {
        // with BSD's rules the connections that died with the process stay in TIME_WAIT
        expect(await child.ask(address) === port).to.equal(HAS_SO_REUSEPORT || i === 0)
      }

      const { server, address } = await startPeer(endWithPeer)
      expect(await child.ask(address)).to.equal(port)
      expect((await server.socket(0)).remotePort).to.equal(port)
      await child.kill()
    }

    for (const { server } of peers) {
      expect(server.ports.filter(from => from === port)).to.have.lengthOf(HAS_SO_REUSEPORT ? 5 : 1)
    }
  })

  it('dials from another port while the kernel holds the old connection, and from its own as soon as it is free', async () => {
    const port = await freePort()
    // the kernel can't get rid of what the dead process had sent
    const { server, address } = await startPeer(socket => { socket.pause() })
    const first = await start(port, 50_000_000)
    expect(await first.ask(address)).to.equal(port)
    const held = await server.socket(0)
    await new Promise(resolve => setTimeout(resolve, 100))
    await first.kill()

    const second = await start(port)
    expect(await second.ask(address)).to.be.a('number').that.does.not.equal(port)

    held.resetAndDestroy()
    await once(held, 'close')
    expect(await second.ask(address)).to.equal(port)
  })
})
