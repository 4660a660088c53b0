import fs from 'node:fs/promises'
import net from 'node:net'
import { isTransport, serviceCapabilities } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import pDefer from 'p-defer'
import { ReuseportTcp as BrowserTransport } from '../src/transport.browser.ts'
import { closed, startBlackhole, startServer } from './fixtures/server.ts'
import { createTransport, rawUpgrader } from './fixtures/transport.ts'
import { until } from './fixtures/until.ts'
import type { TestServer } from './fixtures/server.ts'
import type { TestTransport } from './fixtures/transport.ts'
import type { TCPSocketOptions } from '../src/index.ts'
import type { MultiaddrConnection } from '@libp2p/interface'
import type { Socket } from 'node:net'

const PEER = '12D3KooWJRSrypvnpHgc6ZAgyCni4KcSmbV7uGRaMw5LgMKT18fq'

describe('transport', () => {
  let local: TestTransport
  let server: TestServer
  const cleanup: Array<() => unknown> = []

  beforeEach(async () => {
    local = createTransport()
    server = await startServer()
  })

  afterEach(async () => {
    await local.stop()
    await server.stop()
    await Promise.all(cleanup.splice(0).map(fn => fn()))
  })

  it('is a libp2p transport', () => {
    expect(isTransport(local.transport)).to.equal(true)
    expect(local.transport[Symbol.toStringTag]).to.equal('libp2p-reuseport-tcp')
    expect((local.transport as any)[serviceCapabilities]).to.deep.equal(['@libp2p/transport'])
  })

  it('dials and listens on TCP over IP4, IP6 and DNS, and on unix sockets', () => {
    const fine = [
      '/ip4/127.0.0.1/tcp/4001', '/ip6/::1/tcp/4001', '/dns/example.com/tcp/4001', '/dns4/example.com/tcp/4001',
      `/dns6/example.com/tcp/4001/p2p/${PEER}`, '/unix/%2Ftmp%2Fa.sock'
    ].map(addr => multiaddr(addr))
    const other = [
      '/ip4/127.0.0.1/udp/4001', '/ip4/127.0.0.1/tcp/4001/ws', '/ip4/127.0.0.1/tcp/4001/tls/ws', '/ip4/127.0.0.1',
      `/ip4/127.0.0.1/tcp/4001/p2p/${PEER}/p2p-circuit`, '/ip4/127.0.0.1/udp/4001/quic-v1', `/p2p/${PEER}`
    ].map(addr => multiaddr(addr))

    expect(local.transport.dialFilter([...fine, ...other])).to.deep.equal(fine)
    expect(local.transport.listenFilter([...fine, ...other])).to.deep.equal(fine)
  })

  it('hands its options to the upgrader, the role as well', async () => {
    const speaker = await startServer('127.0.0.1', 0, socket => { socket.write('an initiator speaks first') })
    cleanup.push(async () => speaker.stop())

    for (const [initiator, direction] of [[undefined, 'outbound'], [true, 'outbound'], [false, 'inbound']] as const) {
      let seen: { connection?: MultiaddrConnection, options?: any } = {}
      const upgrader = rawUpgrader((connection, options) => { seen = { connection, options } })

      const connection = await local.transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${speaker.port}`), { upgrader, initiator, signal: AbortSignal.timeout(5_000) })
      expect(seen.options).to.have.property('initiator', initiator)
      expect(seen.connection).to.have.property('direction', direction)
      expect(seen.connection).to.have.property('localAddr')
      connection.abort(new Error('seen'))
    }
  })

  it('leaves the role of the initiator to a peer whose first bytes were lost and sent again', async () => {
    const late = await startServer('127.0.0.1', 0, socket => {
      setTimeout(() => { socket.write('an initiator, accepted as its SYN-ACK was sent again, speaks after its own silence') }, 1_600)
    })
    cleanup.push(async () => late.stop())
    let seen: any
    const connection = await local.transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${late.port}`), {
      upgrader: rawUpgrader((_, options) => { seen = options }),
      initiator: false,
      signal: AbortSignal.timeout(5_000)
    })
    expect(seen).to.have.property('initiator', false)
    connection.abort(new Error('seen'))
  })

  it('takes the role of the initiator if the peer, who should have it, says nothing', async () => {
    const seen: { connection?: MultiaddrConnection, options?: any } = {}
    const upgrader = rawUpgrader((connection, options) => { Object.assign(seen, { connection, options }) })

    const connection = await local.transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`), { upgrader, initiator: false, signal: AbortSignal.timeout(5_000) })
    expect(seen.options).to.have.property('initiator', true)
    expect(seen.connection).to.have.property('direction', 'outbound')
    connection.abort(new Error('seen'))
  })

  it('is the initiator towards the silent peer of a hole punch also when the dial of the peer arrives', async () => {
    const upgrades: string[] = []
    const inbound = pDefer<void>()
    const outbound = pDefer<void>()
    const { port } = await local.listen('/ip4/127.0.0.1/tcp/0', {
      ...rawUpgrader(),
      upgradeInbound: async ({ direction }) => {
        upgrades.push(direction)
        inbound.resolve()
      },
      upgradeOutbound: async ({ direction, remoteAddr }: MultiaddrConnection) => {
        upgrades.push(`${direction} ${remoteAddr}`)
        outbound.resolve()

        return {} as any
      }
    })
    const arrive = (): Socket => {
      const socket = net.connect({ host: '127.0.0.1', port })
      socket.on('error', () => {})
      cleanup.push(() => { socket.destroy() })

      return socket
    }
    const punching = new AbortController()
    const blackhole = await startBlackhole()
    cleanup.push(async () => blackhole.stop())
    const dial = local.transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${blackhole.port}/p2p/${PEER}`), { upgrader: rawUpgrader(), initiator: true, signal: punching.signal })

    // somebody else at that address
    arrive().write('\x13/multistream/1.0.0\n\x07/noise\n')
    await inbound.promise
    expect(upgrades).to.deep.equal(['inbound'])

    // a responder of go-libp2p
    const silent = arrive()
    silent.write('\x13/multistream/1.0.0\n')
    await outbound.promise
    expect(upgrades[1]).to.equal(`outbound /ip4/127.0.0.1/tcp/${silent.localPort}/p2p/${PEER}`)

    punching.abort()
    await expect(dial).to.eventually.be.rejected().with.property('name', 'AbortError')
    arrive()
    await until(() => upgrades.length > 2)
    expect(upgrades[2]).to.equal('inbound')

    // the kernel can't make the same connection twice
    await server.stop()
    await expect(local.transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}/p2p/${PEER}`), { upgrader: rawUpgrader(), initiator: true, signal: AbortSignal.timeout(5_000) }))
      .to.eventually.be.rejected().with.property('code', 'ECONNREFUSED')
    arrive()
    await until(() => upgrades.length > 3)
    expect(upgrades[3]).to.match(/^outbound /)
  })

  it('expects the peer of a hole punch also after silent connections of others behind the same NAT', async () => {
    const upgrades: string[] = []
    const { port } = await local.listen('/ip4/127.0.0.1/tcp/0', {
      ...rawUpgrader(),
      upgradeInbound: async () => { upgrades.push('inbound') },
      upgradeOutbound: async ({ remoteAddr }: MultiaddrConnection) => {
        upgrades.push(`outbound ${remoteAddr}`)

        return {} as any
      }
    })
    // a port that nobody listens on, so the dial fails and the peer may still dial us from it
    await server.stop()
    await expect(local.transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}/p2p/${PEER}`), { upgrader: rawUpgrader(), initiator: true, signal: AbortSignal.timeout(5_000) }))
      .to.eventually.be.rejected().with.property('code', 'ECONNREFUSED')

    const arrive = (localPort?: number): void => {
      const socket = net.connect({ host: '127.0.0.1', port, localPort })
      socket.on('error', () => {})
      cleanup.push(() => { socket.destroy() })
    }
    ;[1, 2, 3, 4, 5].forEach(() => { arrive() })
    await until(() => upgrades.length === 5)
    // the peer may have another port than was observed, and the others are not it
    expect(upgrades.filter(upgrade => upgrade.startsWith('outbound '))).to.have.lengthOf(3)

    arrive(server.port)
    await until(() => upgrades.length === 6)
    expect(upgrades[5]).to.equal(`outbound /ip4/127.0.0.1/tcp/${server.port}/p2p/${PEER}`)
  })

  it('is the responder towards a peer of a hole punch whose first bytes were lost and sent again', async () => {
    const upgrades: string[] = []
    const { port } = await local.listen('/ip4/127.0.0.1/tcp/0', {
      ...rawUpgrader(),
      upgradeInbound: async () => { upgrades.push('inbound') },
      upgradeOutbound: async () => {
        upgrades.push('outbound')

        return {} as any
      }
    })
    await server.stop()
    await expect(local.transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}/p2p/${PEER}`), { upgrader: rawUpgrader(), initiator: true, signal: AbortSignal.timeout(5_000) }))
      .to.eventually.be.rejected().with.property('code', 'ECONNREFUSED')

    const late = net.connect({ host: '127.0.0.1', port })
    cleanup.push(() => { late.destroy() })
    setTimeout(() => { late.write('\x13/multistream/1.0.0\n\x07/noise\n') }, 300)
    await until(() => upgrades.length > 0)
    expect(upgrades).to.deep.equal(['inbound'])
  })

  for (const [name, sent, initiator] of [['only its nonce and the header', 44, true], ['more', 45, false]] as const) {
    it(`takes the peer for ${initiator ? 'a responder' : 'an initiator'} in a private network, if it sends ${name}`, async () => {
      const inPrivate = createTransport({}, { connectionProtector: {} })
      const peer = await startServer('127.0.0.1', 0, socket => { socket.write(new Uint8Array(sent)) })
      cleanup.push(async () => inPrivate.stop(), async () => peer.stop())
      let seen: any
      const connection = await inPrivate.transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${peer.port}`), {
        upgrader: rawUpgrader((_, options) => { seen = options }),
        initiator: false,
        signal: AbortSignal.timeout(5_000)
      })
      expect(seen).to.have.property('initiator', initiator)
      connection.abort(new Error('seen'))
    })
  }

  it('is the initiator towards a peer of a hole punch in a private network that sends only its nonce and the header', async () => {
    const inPrivate = createTransport({}, { connectionProtector: {} })
    cleanup.push(async () => inPrivate.stop())
    const upgraded = pDefer<string>()
    const { port } = await inPrivate.listen('/ip4/127.0.0.1/tcp/0', {
      ...rawUpgrader(),
      upgradeInbound: async () => { upgraded.resolve('inbound') },
      upgradeOutbound: async () => {
        upgraded.resolve('outbound')

        return {} as any
      }
    })
    await server.stop()
    await expect(inPrivate.transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}/p2p/${PEER}`), { upgrader: rawUpgrader(), initiator: true, signal: AbortSignal.timeout(5_000) }))
      .to.eventually.be.rejected().with.property('code', 'ECONNREFUSED')

    const peer = net.connect({ host: '127.0.0.1', port })
    cleanup.push(() => { peer.destroy() })
    peer.write(new Uint8Array(44))
    expect(await upgraded.promise).to.equal('outbound')
  })

  it('expects the peer of a hole punch at the address that an IPv4-mapped one stands for', async () => {
    const upgrades: string[] = []
    const { port } = await local.listen('/ip4/127.0.0.1/tcp/0', {
      ...rawUpgrader(),
      upgradeInbound: async () => { upgrades.push('inbound') },
      upgradeOutbound: async () => {
        upgrades.push('outbound')

        return {} as any
      }
    })
    await server.stop()

    await expect(local.transport.dial(multiaddr(`/ip6/::ffff:127.0.0.1/tcp/${server.port}/p2p/${PEER}`), { upgrader: rawUpgrader(), initiator: true, signal: AbortSignal.timeout(5_000) }))
      .to.eventually.be.rejected().with.property('code', 'ECONNREFUSED')

    const silent = net.connect({ host: '127.0.0.1', port })
    cleanup.push(() => { silent.destroy() })
    await until(() => upgrades.length > 0)
    expect(upgrades).to.deep.equal(['outbound'])

    server = await startServer()
  })

  it('fails rather than dial from another port, if a listening port is required', async () => {
    const required = { reusePort: 'require' } as const
    await expect(local.connect(`/ip4/127.0.0.1/tcp/${server.port}`, required)).to.eventually.be.rejected()
      .with.property('name', 'DialError')

    const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')
    await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`, required)
    await expect(local.connect(`/ip4/127.0.0.1/tcp/${server.port}`, required)).to.eventually.be.rejected()
      .with.property('code', 'EADDRNOTAVAIL')
    expect(server.ports).to.deep.equal([port])
  })

  it('closes the connection when the upgrade fails', async () => {
    const failed = new Error('can not upgrade')
    const upgrader = rawUpgrader(() => { throw failed })

    await expect(local.transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`), { upgrader, signal: AbortSignal.timeout(5_000) }))
      .to.eventually.be.rejectedWith(failed)

    await closed(await server.socket(0))
  })

  const handlers = {
    throws: () => { throw new Error('handler') },
    rejects: async () => { throw new Error('handler') }
  }

  Object.entries(handlers).forEach(([name, fail]) => {
    it(`tells of its progress, and does not mind a handler that ${name}`, async () => {
      const events: string[] = []
      const connection = await local.transport.connect(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`), {
        onProgress: ({ type }): any => {
          events.push(type)

          return fail()
        }
      })

      expect(events).to.deep.equal(['tcp:open-connection', 'tcp:source-port'])
      connection.abort(new Error('seen'))
    })

    it(`closes the connection when the upgrader ${name}`, async () => {
      const upgrader: any = { upgradeInbound: fail, upgradeOutbound: fail }
      const { port } = await local.listen('/ip4/127.0.0.1/tcp/0', upgrader)

      for (const to of [port, server.port]) {
        await expect(local.transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${to}`), { upgrader, signal: AbortSignal.timeout(5_000) }))
          .to.eventually.be.rejected()
      }

      const inbound = net.connect({ host: '127.0.0.1', port })
      inbound.on('error', () => {})
      await closed(inbound)
      await closed(await server.socket(0))
    })
  })

  describe('socket options', () => {
    /**
     * Is a keep-alive timer running at the end that has this port?
     */
    async function keptAlive (port: number): Promise<boolean> {
      const [, ...lines] = (await fs.readFile('/proc/net/tcp', 'utf-8')).trim().split('\n')
      const line = lines.map(line => line.trim().split(/\s+/))
        .find(([, local, , state]) => state === '01' && parseInt(local.split(':')[1], 16) === port)

      return line?.[5].startsWith('02:') ?? false
    }

    before(function () {
      if (process.platform !== 'linux') {
        // timers of sockets can be seen only there
        this.skip()
      }
    })

    const cases = [
      [undefined, undefined, true],
      [false, undefined, false],
      [true, false, false],
      [false, true, true]
    ]

    cases.forEach(([forAll, forThis, expected]) => {
      const options = (keepAlive?: boolean): TCPSocketOptions => keepAlive == null ? {} : { keepAlive }

      it(`keeps a dialed connection alive: ${expected} (all: ${forAll ?? 'default'}, this: ${forThis ?? 'default'})`, async () => {
        const other = createTransport({ dialOpts: options(forAll) })
        cleanup.push(async () => other.stop())
        await other.listen('/ip4/127.0.0.1/tcp/0')
        await other.connect(`/ip4/127.0.0.1/tcp/${server.port}`, options(forThis))

        expect(await keptAlive(Number((await server.socket(0)).remotePort))).to.equal(expected)
      })

      it(`keeps an accepted connection alive: ${expected} (all: ${forAll ?? 'default'}, this: ${forThis ?? 'default'})`, async () => {
        const other = createTransport({ listenOpts: options(forAll) })
        cleanup.push(async () => other.stop())
        const accepted = Promise.withResolvers<void>()
        const listener = other.transport.createListener({ upgrader: rawUpgrader(() => { accepted.resolve() }), ...options(forThis) })
        await listener.listen(multiaddr('/ip4/127.0.0.1/tcp/0'))
        const [addr] = listener.getAddrs()
        await local.connect(addr.toString())
        await accepted.promise

        // the listening socket has that port too, but is in another state
        expect(await keptAlive(Number(addr.toString().split('/').pop()))).to.equal(expected)
        await listener.close()
      })
    })
  })

  describe('metrics', () => {
    it('have the names and labels of @libp2p/tcp', async () => {
      const counted: Record<string, Record<string, number>> = {}
      const register = (name: string): unknown => {
        const values: Record<string, number> = counted[name] ??= {}

        return {
          increment: (labels: Record<string, true>) => { Object.keys(labels).forEach(label => { values[label] = (values[label] ?? 0) + 1 }) },
          update: (labels: Record<string, number>) => { Object.assign(values, labels) }
        }
      }
      const metrics: any = { registerCounterGroup: register, registerMetricGroup: register }
      const measured = createTransport({}, { metrics })
      cleanup.push(async () => measured.stop())
      const { port, listener } = await measured.listen('/ip4/127.0.0.1/tcp/0', rawUpgrader(async () => {
        await new Promise(resolve => setTimeout(resolve, 10))
        throw new Error('not upgraded')
      }))
      const label = `127.0.0.1:${port}`
      expect(counted.libp2p_tcp_listener_status_info).to.deep.equal({ [label]: 1 })

      const { connection } = await measured.connect(`/ip4/127.0.0.1/tcp/${server.port}`)
      expect(counted.libp2p_tcp_dialer_events_total).to.deep.equal({ connect: 1 })

      await connection.close()
      expect(counted.libp2p_tcp_dialer_events_total).to.deep.equal({ connect: 1, end: 1, _remote_close: 1 })

      await measured.connect(`/ip4/127.0.0.1/tcp/${server.port}`, { signal: AbortSignal.abort() }).catch(() => {})
      expect(counted.libp2p_tcp_dialer_events_total).to.have.property('abort', 1)

      await measured.transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`), {
        signal: AbortSignal.timeout(5_000),
        upgrader: rawUpgrader(() => { throw new Error('not upgraded') })
      }).catch(() => {})
      expect(counted.libp2p_tcp_dialer_errors_total).to.deep.equal({ outbound_upgrade: 1 })

      await local.connect(`/ip4/127.0.0.1/tcp/${port}`)
      await until(() => counted.libp2p_tcp_listener_errors_total[`${label} inbound_upgrade`] === 1 && counted.libp2p_tcp_inbound_connections_total[label] === 0)
      expect(counted.libp2p_tcp_listener_events_total).to.include({ [`${label} connection`]: 1 })
      expect(counted.libp2p_tcp_listener_errors_total).to.have.all.keys(`${label} inbound_upgrade`)
      expect(counted.libp2p_tcp_inbound_connections_total).to.have.all.keys(label)

      await listener.close()
      expect(counted.libp2p_tcp_listener_status_info).to.deep.equal({ [label]: 0 })

      const closed = await startServer()
      await closed.stop()
      await measured.connect(`/ip4/127.0.0.1/tcp/${closed.port}`).catch(() => {})
      expect(counted.libp2p_tcp_dialer_events_total).to.have.property('error', 1)
    })
  })

  it('says in a browser that it can not be used there', () => {
    expect(() => new BrowserTransport()).to.throw('TCP connections are not possible in browsers')
  })
})
