import { once } from 'node:events'
import net from 'node:net'
import { defaultLogger } from '@libp2p/logger'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { findPortReuse } from '../../src/port-reuse/strategy.ts'
import { ReuseportTcp } from '../../src/transport.ts'
import { startServer } from '../fixtures/server.ts'
import { portOf } from '../kit/addresses.ts'
import { rawUpgrader } from '../kit/transport.ts'
import type { SourcePort } from '../../src/index.ts'
import type { PortReuse } from '../../src/port-reuse/strategy.ts'
import type { Listener } from '@libp2p/interface'

describe('strategy of port reuse', () => {
  it('is found on this system', () => {
    expect(findPortReuse().unavailable).to.equal(undefined)
    expect(findPortReuse()).to.equal(findPortReuse())
  })

  /**
   * Listens as any server does, and dials from the port above that of the listener
   */
  const nextPort: PortReuse = {
    name: 'made up',
    listen: (server, { host, port }, { backlog }) => {
      server.listen({ host, port, backlog })

      return undefined
    },
    connect: async ({ host, port }, destination, options) => new net.Socket(options).connect({ ...destination, localAddress: host, localPort: port + 1 })
  }

  async function listen (strategy: PortReuse): Promise<{ transport: ReuseportTcp, listener: Listener, port: number }> {
    const transport = new ReuseportTcp({ logger: defaultLogger() }, {}, () => strategy)
    const listener = transport.createListener({ upgrader: rawUpgrader() })
    await listener.listen(multiaddr('/ip4/127.0.0.1/tcp/0'))

    return { transport, listener, port: portOf(listener) }
  }

  async function dial (transport: ReuseportTcp, port: number): Promise<SourcePort | undefined> {
    let source: SourcePort | undefined
    const connection = await transport.connect(multiaddr(`/ip4/127.0.0.1/tcp/${port}`), {
      onProgress: event => {
        if (event.type === 'tcp:source-port') {
          source = event.detail
        }
      }
    })
    connection.abort(new Error('seen'))

    return source
  }

  it('can be another one, and listeners and dials follow it', async () => {
    const server = await startServer()
    const { transport, listener, port } = await listen(nextPort)

    expect(await dial(transport, server.port)).to.have.property('reason', 'loopback')
    expect((await server.socket(0)).remotePort).to.equal(port + 1)

    const inbound = net.connect({ host: '127.0.0.1', port })
    await once(inbound, 'connect')
    inbound.destroy()

    await Promise.all([listener.close(), server.stop()])
  })

  it('can say that ports can not be reused, and dials come from ephemeral ports', async () => {
    const server = await startServer()
    const { transport, listener, port } = await listen({ ...nextPort, unavailable: 'there is no reason' })

    expect(await dial(transport, server.port)).to.include({ reason: 'ephemeral', because: 'there is no reason' })
    expect((await server.socket(0)).remotePort).to.not.be.oneOf([port, port + 1])

    await Promise.all([listener.close(), server.stop()])
  })
})
