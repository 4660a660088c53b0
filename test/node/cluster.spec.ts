import cluster from 'node:cluster'
import { once } from 'node:events'
import net from 'node:net'
import path from 'node:path'
import { expect } from 'aegir/chai'
import { startServer } from '../fixtures/server.ts'
import { createTransport } from '../kit/transport.ts'
import { until } from '../kit/wait.ts'
import type { ReuseportTcpInit } from '../../src/index.ts'
import type { Worker } from 'node:cluster'
import type { Socket } from 'node:net'

interface Answer {
  port?: number
  code?: string
}

interface TestWorker {
  accepted(): number
  listen(address: string): Promise<Answer>
  dial(address: string): Promise<Answer>
}

describe('the workers of a cluster', () => {
  const cleanup: Array<() => unknown> = []

  afterEach(async () => {
    await Promise.all(cleanup.splice(0).map(fn => fn()))
  })

  function startWorker (init: ReuseportTcpInit = {}): TestWorker {
    cluster.setupPrimary({
      exec: path.join(import.meta.dirname, '../fixtures/cluster-worker.ts'),
      args: [JSON.stringify(init)],
      execArgv: ['--experimental-strip-types', '--no-warnings']
    })

    const worker = cluster.fork()
    let accepted = 0
    worker.on('message', message => { accepted += message === 'accepted' ? 1 : 0 })
    cleanup.push(async () => {
      worker.process.kill('SIGKILL')
      await once(worker, 'exit')
    })

    return {
      accepted: () => accepted,
      listen: async address => ask(worker, { listenOn: true, address }),
      dial: async address => ask(worker, { listenOn: false, address })
    }
  }

  async function ask (worker: Worker, question: { listenOn: boolean, address: string }): Promise<Answer> {
    worker.send(question)

    while (true) {
      const [answer] = await once(worker, 'message')

      if (answer !== 'accepted') {
        return answer
      }
    }
  }

  it('share a port, and each dials from it', async () => {
    const workers = [startWorker(), startWorker()]
    const { port } = await workers[0].listen('/ip4/127.0.0.1/tcp/0')
    expect(await workers[1].listen(`/ip4/127.0.0.1/tcp/${port}`)).to.deep.equal({ port })

    const server = await startServer()
    const server2 = await startServer()
    cleanup.push(async () => server.stop(), async () => server2.stop())
    expect(await workers[0].dial(`/ip4/127.0.0.1/tcp/${server.port}`)).to.deep.equal({ port })
    expect(await workers[1].dial(`/ip4/127.0.0.1/tcp/${server2.port}`)).to.deep.equal({ port })
    expect([...server.ports, ...server2.ports]).to.deep.equal([port, port])

    const sockets: Socket[] = []
    cleanup.push(() => { sockets.forEach(socket => { socket.destroy() }) })

    for (let i = 0; i < 40; i++) {
      const socket = net.connect(Number(port), '127.0.0.1')
      sockets.push(socket)
      await once(socket, 'connect')
    }

    await until(() => workers[0].accepted() + workers[1].accepted() === 40)
    expect(workers[0].accepted()).to.be.within(1, 39)
  })

  it('do not share it if they are told not to, nor does who is none of them', async () => {
    const { port } = await startWorker().listen('/ip4/127.0.0.1/tcp/0')
    expect(await startWorker({ sharePort: false }).listen(`/ip4/127.0.0.1/tcp/${port}`)).to.deep.equal({ code: 'EADDRINUSE' })

    await expect(createTransport().listen(`/ip4/127.0.0.1/tcp/${port}`)).to.eventually.be.rejected()
      .with.property('code', 'EADDRINUSE')
  })

  it('each have a port of their own when they ask for any', async () => {
    const ports = await Promise.all([startWorker(), startWorker()].map(async worker => (await worker.listen('/ip4/127.0.0.1/tcp/0')).port))

    expect(ports[0]).to.not.equal(ports[1])
  })
})
