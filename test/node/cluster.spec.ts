import cluster from 'node:cluster'
import { once } from 'node:events'
import net from 'node:net'
import path from 'node:path'
import { expect } from 'aegir/chai'
import { freePort } from '../fixtures/free-port.ts'
import { startServer } from '../fixtures/server.ts'
import { NODE_OPTIONS } from '../fixtures/start-other-transport.ts'
import { HAS_SO_REUSEPORT } from '../fixtures/system.ts'
import { talkTo } from '../kit/processes.ts'
import { createTransport } from '../kit/transport.ts'
import { until } from '../kit/wait.ts'
import type { ReuseportTcpInit } from '../../src/index.ts'
import type { OtherTransport } from '../fixtures/other-transport.ts'
import type { Script } from '../kit/processes.ts'
import type { Socket } from 'node:net'

describe('the workers of a cluster', () => {
  const cleanup: Array<() => unknown> = []

  afterEach(async () => {
    await Promise.all(cleanup.splice(0).map(fn => fn()))
  })

  function startWorker (init: ReuseportTcpInit = {}): Script<OtherTransport> {
    cluster.setupPrimary({
      exec: path.join(import.meta.dirname, '../fixtures/other-transport.ts'),
      args: [JSON.stringify(init)],
      execArgv: NODE_OPTIONS
    })

    const worker = talkTo<OtherTransport>(cluster.fork().process, 'the worker')
    cleanup.push(async () => worker.stop())

    return worker
  }

  it('share a port, and each dials from it', async () => {
    const workers = [startWorker(), startWorker()]
    const port = await freePort()

    for (const worker of workers) {
      expect(await worker.ask('listen', `/ip4/127.0.0.1/tcp/${port}`)).to.equal(port)
    }

    const server = await startServer()
    const server2 = await startServer()
    cleanup.push(async () => server.stop(), async () => server2.stop())
    expect(await workers[0].ask('dial', `/ip4/127.0.0.1/tcp/${server.port}`)).to.have.property('port', port)
    expect(await workers[1].ask('dial', `/ip4/127.0.0.1/tcp/${server2.port}`)).to.have.property('port', port)
    expect([...server.ports, ...server2.ports]).to.deep.equal([port, port])

    const sockets: Socket[] = []
    cleanup.push(() => { sockets.forEach(socket => { socket.destroy() }) })

    for (let i = 0; i < 40; i++) {
      const socket = net.connect(port, '127.0.0.1')
      sockets.push(socket)
      await once(socket, 'connect')
    }

    const accepted = async (): Promise<number[]> => Promise.all(workers.map(async worker => worker.ask('accepted')))
    await until(async () => (await accepted()).reduce((sum, n) => sum + n) === 40)
    expect((await accepted())[0]).to.be.within(1, 39)
  })

  it('do not share it if they are told not to, nor does who is none of them', async () => {
    const port = await startWorker().ask('listen', '/ip4/127.0.0.1/tcp/0')

    await expect(startWorker({ sharePort: false }).ask('listen', `/ip4/127.0.0.1/tcp/${port}`)).to.eventually.be.rejected()
      .with.property('code', 'EADDRINUSE')
    await expect(createTransport().listen(`/ip4/127.0.0.1/tcp/${port}`)).to.eventually.be.rejected()
      .with.property('code', 'EADDRINUSE')
  })

  it('each have a port of their own when they ask for any, with SO_REUSEPORT', async () => {
    const ports = await Promise.all([startWorker(), startWorker()].map(async worker => worker.ask('listen', '/ip4/127.0.0.1/tcp/0')))

    expect(ports[0] !== ports[1]).to.equal(HAS_SO_REUSEPORT)
  })
})
