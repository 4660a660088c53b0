import { once } from 'node:events'
import { expect } from 'aegir/chai'
import { freePort } from '../fixtures/free-port.ts'
import { startServer } from '../fixtures/server.ts'
import { startOtherTransport } from '../fixtures/start-other-transport.ts'
import { REDIALS_AT_ONCE, REUSES_PORTS, where } from '../fixtures/system.ts'
import type { OtherTransport } from '../fixtures/other-transport.ts'
import type { TestServer } from '../fixtures/server.ts'
import type { Script } from '../kit/processes.ts'
import type { Socket } from 'node:net'

where(REUSES_PORTS).describe('a process that is killed and started again on its port', () => {
  const cleanup: Array<() => unknown> = []

  afterEach(async () => {
    await Promise.all(cleanup.splice(0).map(fn => fn()))
  })

  async function start (port: number): Promise<Script<OtherTransport>> {
    const child = startOtherTransport()
    cleanup.push(async () => child.kill())
    await child.ask('listen', `/ip4/127.0.0.1/tcp/${port}`)

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
        expect((await child.ask('dial', address)).port === port).to.equal(REDIALS_AT_ONCE || i === 0)
      }

      const { server, address } = await startPeer(endWithPeer)
      expect(await child.ask('dial', address)).to.have.property('port', port)
      expect((await server.socket(0)).remotePort).to.equal(port)
      await child.kill()
    }

    for (const { server } of peers) {
      expect(server.ports.filter(from => from === port)).to.have.lengthOf(REDIALS_AT_ONCE ? 5 : 1)
    }
  })

  it('dials from another port while the kernel holds the old connection, and from its own as soon as it is free', async () => {
    const port = await freePort()
    // the kernel can't get rid of what the dead process had sent
    const { server, address } = await startPeer(socket => { socket.pause() })
    const first = await start(port)
    expect(await first.ask('dial', address, 50_000_000)).to.have.property('port', port)
    const held = await server.socket(0)
    await new Promise(resolve => setTimeout(resolve, 100))
    await first.kill()

    const second = await start(port)
    expect((await second.ask('dial', address)).port).to.be.greaterThan(0).and.not.equal(port)

    held.resetAndDestroy()
    await once(held, 'close')
    expect(await second.ask('dial', address)).to.have.property('port', port)
  })
})
