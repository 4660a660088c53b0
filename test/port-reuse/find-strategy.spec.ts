import { once } from 'node:events'
import net from 'node:net'
import { defaultLogger } from '@libp2p/logger'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { findPortReuse } from '../../src/port-reuse/find-strategy.ts'
import { ReuseportTcp } from '../../src/transport.ts'
import { freePort } from '../fixtures/free-port.ts'
import { runInNamespace } from '../fixtures/namespace.ts'
import { startServer } from '../fixtures/server.ts'
import { HAS_SO_REUSEPORT, REUSES_PORTS_BY_DEFAULT, where } from '../fixtures/system.ts'
import { portOf } from '../kit/addresses.ts'
import { rawUpgrader } from '../kit/transport.ts'
import { watchLog } from '../kit/watch-log.ts'
import type { SourcePort } from '../../src/index.ts'
import type { PortReuse } from '../../src/port-reuse/port-reuse.ts'
import type { Listener } from '@libp2p/interface'

describe('strategy of port reuse', () => {
  where(REUSES_PORTS_BY_DEFAULT).it('is found on this system', () => {
    expect(findPortReuse().support.available).to.equal(true)
    expect(findPortReuse()).to.equal(findPortReuse())
  })

  // the other strategy is found out on loopback
  where(HAS_SO_REUSEPORT).it('is found while the loopback interface is down, so that its listeners can be dialed from later on', async function () {
    const setUp = `
      ip link add eth0 type veth peer name eth1
      ip address add 11.0.0.1/24 dev eth0
      ip link set eth0 up
      ip address flush dev lo
      ip link set lo down
    `

    expect(await runInNamespace(this, setUp, 'without-loopback.ts')).to.deep.equal({ rules: ['wildcard'], ports: [4001] })
  })

  it('is logged when it changes', async () => {
    const lines: string[] = []
    let now: PortReuse = { ...madeUp, support: { available: false, why: `not yet ${process.pid}` } }
    const transport = new ReuseportTcp({
      logger: watchLog('libp2p:reuseport-tcp', line => { lines.push(line) })
    }, { portReuse: () => now })
    expect(transport.portReuse()).to.deep.equal(now.support)

    now = { ...madeUp, support: { available: true, name: `made up, later ${process.pid}` } }
    const server = await startServer()
    await dial(transport, server.port)
    await dial(transport, server.port)
    await server.stop()

    expect(transport.portReuse()).to.deep.equal(now.support)
    expect(lines.filter(line => line.startsWith('ports '))).to.deep.equal([
      `ports can not be reused here, dialing from ephemeral ports: not yet ${process.pid}`,
      `ports are reused by made up, later ${process.pid}`
    ])
  })

  let dialPort: number

  before(async () => {
    dialPort = await freePort()
  })

  /** Listens as any server does, and dials from another port */
  const madeUp: PortReuse = {
    support: { available: true, name: 'made up' },
    listen: (server, { host, port }, { backlog }) => {
      server.listen({ host, port, backlog })

      return undefined
    },
    connect: async ({ host }, destination, options) => new net.Socket(options).connect({ ...destination, localAddress: host, localPort: dialPort })
  }

  async function listen (strategy: PortReuse): Promise<{ transport: ReuseportTcp, listener: Listener, port: number }> {
    const transport = new ReuseportTcp({ logger: defaultLogger() }, { portReuse: () => strategy })
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
    const { transport, listener, port } = await listen(madeUp)

    expect(await dial(transport, server.port)).to.have.property('rule', 'loopback')
    expect((await server.socket(0)).remotePort).to.equal(dialPort)

    const inbound = net.connect({ host: '127.0.0.1', port })
    await once(inbound, 'connect')
    inbound.destroy()

    await Promise.all([listener.close(), server.stop()])
  })

  it('can say that ports can not be reused, and dials come from ephemeral ports', async () => {
    const server = await startServer()
    const { transport, listener, port } = await listen({ ...madeUp, support: { available: false, why: 'there is no reason' } })

    expect(await dial(transport, server.port)).to.include({ kind: 'ephemeral', why: 'unavailable', message: 'there is no reason' })
    expect((await server.socket(0)).remotePort).to.not.be.oneOf([port, dialPort])

    await Promise.all([listener.close(), server.stop()])
  })
})
