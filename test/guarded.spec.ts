import { once } from 'node:events'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { startServer } from './fixtures/server.ts'
import { createTransport, rawUpgrader } from './fixtures/transport.ts'
import type { TestServer } from './fixtures/server.ts'
import type { TestTransport } from './fixtures/transport.ts'
import type { RawConnection } from '../src/index.ts'
import type { ComponentLogger, MultiaddrConnection } from '@libp2p/interface'

/**
 * An error that nobody catches ends a test run, so what these show is that there
 * is none
 */
describe('callbacks that fail', () => {
  let local: TestTransport
  let server: TestServer

  function fail (): never {
    throw new Error('this callback is broken')
  }

  async function reject (): Promise<never> {
    return fail()
  }

  async function settle (): Promise<void> {
    await new Promise(resolve => setTimeout(resolve, 30))
  }

  beforeEach(async () => {
    server = await startServer()
  })

  afterEach(async () => {
    await local.stop()
    await server.stop()
    await settle()
  })

  async function exchange (connection: RawConnection): Promise<void> {
    const message = once(connection as any, 'message')
    connection.send(Uint8Array.from([1]))
    await message
  }

  it('in a logger', async () => {
    const broken: any = Object.assign(fail, { error: fail, trace: fail, newScope: () => broken, enabled: true })
    const logger: ComponentLogger = { forComponent: () => broken }
    local = createTransport({}, { logger })
    const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')

    await exchange((await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`)).connection)
    await (await local.connect(`/ip4/127.0.0.1/tcp/${port}`)).connection.close()
    await local.transport.connect(multiaddr('/ip4/127.0.0.1/tcp/1')).catch(() => {})
  })

  it('in metrics', async () => {
    const broken = { increment: fail, decrement: fail, update: fail, reset: fail }
    local = createTransport({}, { metrics: { registerCounterGroup: () => broken, registerMetricGroup: () => broken } as any })
    const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')

    const { connection } = await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`)
    await exchange(connection)
    await connection.close()
    await (await local.connect(`/ip4/127.0.0.1/tcp/${port}`)).connection.close()
    await local.transport.connect(multiaddr('/ip4/127.0.0.1/tcp/1')).catch(() => {})
  })

  Object.entries({ throwing: fail, rejecting: reject }).forEach(([name, broken]) => {
    it(`in a ${name} upgrader`, async () => {
      local = createTransport()
      const upgrader: any = { upgradeInbound: broken, upgradeOutbound: broken }
      const { port } = await local.listen('/ip4/127.0.0.1/tcp/0', upgrader)

      for (const to of [port, server.port]) {
        await expect(local.transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${to}`), { upgrader, signal: AbortSignal.timeout(5_000) }))
          .to.eventually.be.rejected()
      }
    })

    it(`in a ${name} progress handler`, async () => {
      local = createTransport()

      await exchange(await local.transport.connect(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`), { onProgress: broken as () => void }).then(connection => connection))
    })

    it(`in ${name} event listeners of a connection`, async () => {
      local = createTransport()
      const { connection } = await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`)

      for (const event of ['drain', 'idle', 'end', 'close', 'remoteCloseWrite'] as const) {
        connection.addEventListener(event, broken)
      }

      await exchange(connection)
      await connection.close()
    })

    it(`in a ${name} listener for messages, which costs the connection`, async () => {
      local = createTransport()
      const { connection } = await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`)
      const closed = once(connection as any, 'close')

      connection.addEventListener('message', broken)
      connection.send(Uint8Array.from([1]))
      expect((await closed)[0].error).to.have.property('message', 'this callback is broken')
    })

    it(`in ${name} event listeners of a listener`, async () => {
      local = createTransport()
      const listener = local.transport.createListener({ upgrader: rawUpgrader() })

      for (const event of ['listening', 'error', 'close'] as const) {
        listener.addEventListener(event, broken)
      }

      await expect(listener.listen(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`))).to.eventually.be.rejected()
      await listener.listen(multiaddr('/ip4/127.0.0.1/tcp/0'))
      await listener.close()
    })
  })

  it('does not keep a listener that wants one event', async () => {
    local = createTransport()
    const { connection } = await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`)
    const before = connection.listenerCount('message')

    for (let i = 0; i < 3; i++) {
      await exchange(connection)
      connection.addEventListener('message', () => {}, { once: true })
      await exchange(connection)
    }

    expect(connection.listenerCount('message')).to.equal(before)
  })

  it('does not keep a listener from being removed', async () => {
    local = createTransport()
    const { connection } = await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`) as { connection: MultiaddrConnection }
    let calls = 0
    const count = (): void => { calls++ }

    connection.addEventListener('message', count)
    connection.addEventListener('message', count)
    connection.send(Uint8Array.from([1]))
    await settle()
    expect(calls).to.equal(1)

    connection.removeEventListener('message', count)
    connection.send(Uint8Array.from([1]))
    await settle()
    expect(calls).to.equal(1)
  })
})
