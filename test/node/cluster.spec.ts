import cluster from 'node:cluster'
import { once } from 'node:events'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { expect } from 'aegir/chai'
import { freePort } from '../fixtures/free-port.ts'
import { startServer } from '../fixtures/server.ts'
import { NODE_OPTIONS } from '../fixtures/start-other-transport.ts'
import { HAS_SO_REUSEPORT, HAS_UNIX_SOCKETS, REUSES_PORTS, where } from '../fixtures/system.ts'
import { talkTo } from '../kit/processes.ts'
import { createTransport } from '../kit/transport.ts'
import { until } from '../kit/wait.ts'
import type { ReuseportTcpInit } from '../../src/index.ts'
import type { OtherTransport } from '../fixtures/other-transport.ts'
import type { Script } from '../kit/processes.ts'
import type { Address, Worker } from 'node:cluster'
import type { Socket } from 'node:net'

describe('the workers of a cluster', () => {
  const cleanup: Array<() => unknown> = []

  afterEach(async () => {
    await Promise.all(cleanup.splice(0).map(fn => fn()))
  })

  /**
   * A worker that listens, echoes, and ends when Node ends it
   *
   * @returns what the primary hears of its listening
   */
  async function startEchoWorker (whose: 'theirs' | 'ours', listenOn: string): Promise<{ worker: Worker, address: Address }> {
    cluster.setupPrimary({
      exec: path.join(import.meta.dirname, '../fixtures/echo-worker.ts'),
      args: [whose, listenOn],
      execArgv: NODE_OPTIONS
    })

    const worker = cluster.fork()
    cleanup.push(() => { worker.process.kill('SIGKILL') })
    const [address] = await once(worker, 'listening')

    return { worker, address }
  }

  before(async function () {
    const { address } = await startEchoWorker('theirs', '/ip4/127.0.0.1/tcp/0')

    if (address.address !== '127.0.0.1') {
      // under wine they listen somewhere else
      this.skip()
    }
  })

  async function connect (to: number | string): Promise<Socket> {
    const socket = typeof to === 'string' ? net.connect(to) : net.connect(to, '127.0.0.1')
    cleanup.push(() => { socket.destroy() })
    await once(socket, 'connect')

    return socket
  }

  async function isRefused (to: number | string): Promise<boolean> {
    return connect(to).then(socket => {
      socket.destroy()

      return false
    }, () => true)
  }

  async function echo (socket: Socket): Promise<void> {
    const received = once(socket, 'data')
    socket.write('hello')
    expect(`${(await received)[0]}`).to.equal('hello')
  }

  for (const whose of ['theirs', 'ours'] as const) {
    it(`tell the primary that they listen: ${whose}`, async () => {
      const port = await freePort()

      expect((await startEchoWorker(whose, `/ip4/127.0.0.1/tcp/${port}`)).address).to.include({ addressType: 4, address: '127.0.0.1', port })
      expect((await startEchoWorker(whose, `/ip6/::1/tcp/${port}`)).address).to.include({ addressType: 6, address: '::1', port })
    })

    const disconnects: Record<string, (worker: Worker) => void> = {
      'the primary': worker => { worker.disconnect() },
      'the worker': worker => { worker.send('disconnect') }
    }

    for (const [who, disconnect] of Object.entries(disconnects)) {
      where(HAS_UNIX_SOCKETS).it(`listen no more when ${who} disconnects them, and end with their connections: ${whose}`, async () => {
        const port = await freePort()
        const file = path.join(os.tmpdir(), `reuseport-worker-${process.pid}.sock`)

        for (const [address, to] of [[`/ip4/127.0.0.1/tcp/${port}`, port], [`/unix/${encodeURIComponent(file)}`, file]] as const) {
          const { worker } = await startEchoWorker(whose, address)
          const ended = once(worker, 'exit')
          const socket = await connect(to)
          await echo(socket)

          disconnect(worker)
          await until(async () => isRefused(to))
          await echo(socket)
          socket.end()
          expect(await ended).to.deep.equal([0, null])
        }
      })
    }
  }

  // signals stop a process elsewhere, too, but not Windows'
  where(HAS_SO_REUSEPORT).it('accept what is in the queue before they stop to listen', async () => {
    const port = await freePort()
    const { worker } = await startEchoWorker('ours', `/ip4/127.0.0.1/tcp/${port}`)

    worker.process.kill('SIGSTOP')
    const sockets = await Promise.all(Array.from({ length: 20 }, async () => connect(port)))
    worker.disconnect()
    worker.process.kill('SIGCONT')

    await Promise.all(sockets.map(echo))
    const ended = once(worker, 'exit')
    sockets.forEach(socket => { socket.end() })
    expect(await ended).to.deep.equal([0, null])
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

  where(REUSES_PORTS).it('share a port, and each dials from it', async () => {
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
