import diagnostics from 'node:diagnostics_channel'
import { once } from 'node:events'
import { defaultLogger } from '@libp2p/logger'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import pDefer from 'p-defer'
import { reuseportTcp } from '../../src/index.ts'
import { startServer } from '../fixtures/server.ts'
import { REUSES_PORTS, where } from '../fixtures/system.ts'
import { createTransport, rawUpgrader } from '../kit/transport.ts'
import { until } from '../kit/wait.ts'
import type { TestServer } from '../fixtures/server.ts'
import type { TestTransport } from '../kit/transport.ts'
import type { Connection, Transport, Upgrader } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Socket } from 'node:net'

/** What the peer is left with when the signal of a dial aborts */
describe('an aborted dial', () => {
  let server: TestServer
  let address: Multiaddr
  let local: TestTransport
  const ends: string[] = []

  beforeEach(async () => {
    ends.length = 0
    server = await startServer('127.0.0.1', 0, socket => {
      socket.on('end', () => { ends.push('FIN') })
      socket.on('error', () => { ends.push('RST') })
      socket.resume()
    })
    address = multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`)
    local = createTransport()
  })

  afterEach(async () => {
    await local.stop()
    await server.stop()
  })

  /** Invokes the callback with the socket of the next dial, before it connects */
  function nextSocket (callback: (socket: Socket) => void): void {
    const onSocket: diagnostics.ChannelListener = (message: any) => {
      diagnostics.unsubscribe('net.client.socket', onSocket)
      callback(message.socket)
    }
    diagnostics.subscribe('net.client.socket', onSocket)
  }

  /** Blocks until the kernel has connected the socket, which Node does not know then */
  function onceConnectedInKernel (socket: Socket, callback: () => void, ticks: number = 10): void {
    process.nextTick(() => {
      if (ticks > 0) {
        onceConnectedInKernel(socket, callback, ticks - 1)
        return
      }

      // loopback: an instant
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
      expect(socket.connecting).to.equal(true)
      callback()
    })
  }

  /** Fails when the signal aborts, as libp2p's does, after it has told of itself */
  function upgraderThat (onUpgrade: (connection: any, signal: AbortSignal) => void = () => {}): Upgrader {
    return rawUpgrader(async (connection, { signal }: any) => {
      const aborted = new Promise((resolve, reject) => { signal.addEventListener('abort', () => { reject(signal.reason) }) })
      connection.addEventListener('message', () => {})
      onUpgrade(connection, signal)
      signal.throwIfAborted()
      await aborted
    })
  }

  type Attempt = (transport: Transport<any>, controller: AbortController) => Promise<Connection>

  const moments: Record<string, Attempt> = {
    'before Node knows that it is connected': async (transport, controller) => {
      nextSocket(socket => { onceConnectedInKernel(socket, () => { controller.abort() }) })

      return transport.dial(address, { upgrader: upgraderThat(), signal: controller.signal })
    },
    'in the moment in which it is connected': async (transport, controller) => {
      nextSocket(socket => { socket.prependListener('connect', () => { controller.abort() }) })

      return transport.dial(address, { upgrader: upgraderThat(), signal: controller.signal })
    },
    'a tick later': async (transport, controller) => {
      nextSocket(socket => { socket.prependListener('connect', () => { process.nextTick(() => { controller.abort() }) }) })

      return transport.dial(address, { upgrader: upgraderThat(), signal: controller.signal })
    },
    'when the upgrade begins': async (transport, controller) => {
      return transport.dial(address, { upgrader: upgraderThat(() => { controller.abort() }), signal: controller.signal })
    },
    'while it is upgraded': async (transport, controller) => {
      return transport.dial(address, { upgrader: upgraderThat(() => { setImmediate(() => { controller.abort() }) }), signal: controller.signal })
    },
    'while it is upgraded by somebody who aborts the connection then, as TLS does': async (transport, controller) => {
      return transport.dial(address, {
        upgrader: upgraderThat((connection, signal) => {
          signal.addEventListener('abort', () => { connection.abort(new Error('handshake timeout')) })
          setImmediate(() => { controller.abort() })
        }),
        signal: controller.signal
      })
    }
  }

  const transports: Record<string, () => Promise<Transport>> = {
    '@libp2p/tcp': async () => tcp()({ logger: defaultLogger() }),
    'an ephemeral port': async () => reuseportTcp()({ logger: defaultLogger() }),
    'a listening port': async () => {
      await local.listen('/ip4/127.0.0.1/tcp/0')

      return local.transport
    }
  }

  Object.entries(moments).forEach(([when, attempt]) => {
    Object.entries(transports).forEach(([whose, create]) => {
      it(`${when} leaves the peer with a FIN (${whose})`, async () => {
        await expect(attempt(await create(), new AbortController())).to.eventually.be.rejected()
          .with.property('name', 'AbortError')

        const socket = await server.socket(0)

        if (!socket.readableEnded && socket.errored == null) {
          await Promise.race([once(socket, 'end'), new Promise(resolve => socket.once('close', resolve))])
        }

        expect(ends).to.deep.equal(['FIN'])
      })
    })
  })

  it('is not upgraded when it is connected and aborts in onProgress, nor is it a raw connection', async () => {
    await local.listen('/ip4/127.0.0.1/tcp/0')
    let upgrades = 0
    const upgrader = rawUpgrader(() => { upgrades++ })

    for (const [i, method] of ['dial', 'connect'].entries()) {
      const controller = new AbortController()
      const options: any = {
        upgrader,
        signal: controller.signal,
        onProgress: ({ type }: { type: string }) => {
          if (type === 'tcp:source-port') {
            controller.abort()
          }
        }
      }

      await expect((local.transport as any)[method](address, options)).to.eventually.be.rejected()
        .with.property('name', 'AbortError')
      const socket = await server.socket(i)

      if (!socket.readableEnded) {
        await once(socket, 'end')
      }
    }

    expect(upgrades).to.equal(0)
    expect(ends).to.deep.equal(['FIN', 'FIN'])
  })

  where(REUSES_PORTS).it('of a hole punch leaves its port free for the next attempt, whatever the peer does', async () => {
    const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')
    const options = { initiator: true, reusePort: 'require' as const }

    for (let i = 0; i < 3; i++) {
      const controller = new AbortController()
      const upgrading = pDefer<void>()
      const upgrader = upgraderThat((connection, signal) => {
        // the last ones of a tick wait for its end, and it is over before
        signal.addEventListener('abort', () => { [1, 2, 3, 4].forEach(n => connection.send(Uint8Array.from([n]))) })
        upgrading.resolve()
      })
      const dialing = local.transport.dial(address, { ...options, upgrader, signal: controller.signal })
      await Promise.race([upgrading.promise, dialing])
      controller.abort()
      await expect(dialing).to.eventually.be.rejected().with.property('name', 'AbortError')
    }

    await until(() => ends.length === 3)
    expect(server.ports).to.deep.equal([port, port, port])
    // for NATs, see docs/decisions.md. Node does not look for the RST behind it
    expect(ends).to.deep.equal(['FIN', 'FIN', 'FIN'])
  })

  it('is over when it has succeeded: the connection stays', async () => {
    const controller = new AbortController()
    const connection = await local.transport.dial(address, { upgrader: rawUpgrader(), signal: controller.signal })
    controller.abort()

    const socket = await server.socket(0)
    const received = once(socket, 'data')
    ;(connection as any).send(Uint8Array.from([1]))
    await received
    expect(connection.status).to.equal('open')
    connection.abort(new Error('The test is over'))
  })
})
