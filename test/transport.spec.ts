import fs from 'node:fs/promises'
import net from 'node:net'
import { isTransport, serviceCapabilities } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { reuseportTcp } from '../src/index.ts'
import { ReuseportTcp as BrowserTransport } from '../src/transport.browser.ts'
import { closed, startServer } from './fixtures/server.ts'
import { LISTS_SOCKETS, REUSES_PORTS, where } from './fixtures/system.ts'
import { createTransport, rawUpgrader } from './kit/transport.ts'
import type { TestServer } from './fixtures/server.ts'
import type { TestTransport } from './kit/transport.ts'
import type { TCPSocketOptions } from '../src/index.ts'
import type { ComponentLogger, Logger, Transport } from '@libp2p/interface'

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

  where(REUSES_PORTS).it('fails rather than dial from another port, if a listening port is required', async () => {
    const required = { reusePort: 'require' } as const
    await expect(local.connect(`/ip4/127.0.0.1/tcp/${server.port}`, required)).to.eventually.be.rejected()
      .with.property('name', 'DialError')

    const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')
    await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`, required)
    // Linux and BSD name it differently
    await expect(local.connect(`/ip4/127.0.0.1/tcp/${server.port}`, required)).to.eventually.be.rejected()
      .with.property('code').that.is.oneOf(['EADDRINUSE', 'EADDRNOTAVAIL'])
    expect(server.ports).to.deep.equal([port])
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
          .to.eventually.be.rejectedWith(to === port ? /./ : /handler/)
      }

      const inbound = net.connect({ host: '127.0.0.1', port })
      inbound.on('error', () => {})
      await closed(inbound)
      await closed(await server.socket(0))
    })
  })

  where(LISTS_SOCKETS).describe('socket options', () => {
    /** Is a keep-alive timer running at the end that has this port? */
    async function keptAlive (port: number): Promise<boolean> {
      const [, ...lines] = (await fs.readFile('/proc/net/tcp', 'utf-8')).trim().split('\n')
      const line = lines.map(line => line.trim().split(/\s+/))
        .find(([, local, , state]) => state === '01' && parseInt(local.split(':')[1], 16) === port)

      return line?.[5].startsWith('02:') ?? false
    }

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

  describe('the error log', () => {
    /** The lines that a transport writes to it, without the errors */
    async function errorsOf (create: (components: { logger: ComponentLogger }) => Transport<any>): Promise<string[]> {
      const lines: string[] = []
      const log: Logger = Object.assign(() => {}, {
        enabled: false,
        trace: Object.assign(() => {}, { enabled: false }),
        error: Object.assign((format: string) => { lines.push(format.replace(/( to %a)? - %e$/, '')) }, { enabled: true }),
        newScope: () => log
      }) as any
      const transport = create({ logger: { forComponent: () => log } })
      const fails = rawUpgrader(() => { throw new Error('not upgraded') })
      const closed = await startServer()
      await closed.stop()

      for (const [address, upgrader, signal] of [
        [`/ip4/127.0.0.1/tcp/${closed.port}`, rawUpgrader(), AbortSignal.timeout(5_000)],
        ['/unix/%2Fnowhere%2Fa', rawUpgrader(), AbortSignal.timeout(5_000)],
        [`/ip4/127.0.0.1/tcp/${server.port}`, fails, AbortSignal.timeout(5_000)],
        [`/ip4/127.0.0.1/tcp/${server.port}`, rawUpgrader(), AbortSignal.abort()]
      ] as const) {
        await transport.dial(multiaddr(address), { upgrader, signal }).catch(() => {})
      }

      return lines
    }

    it('has failed dials and upgrades, as that of @libp2p/tcp', async () => {
      const expected = ['dial to %a errored', 'dial to %a errored', 'error upgrading outbound connection', 'abort with error']

      expect(await errorsOf(tcp())).to.deep.equal(expected)
      expect(await errorsOf(reuseportTcp())).to.deep.equal(expected)
    })
  })

  it('says in a browser that it can not be used there', () => {
    expect(() => new BrowserTransport()).to.throw('TCP connections are not possible in browsers')
  })
})
