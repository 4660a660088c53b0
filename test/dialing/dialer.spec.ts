import diagnostics from 'node:diagnostics_channel'
import dns from 'node:dns/promises'
import { once } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { defaultLogger } from '@libp2p/logger'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import pDefer from 'p-defer'
import { findPortReuse } from '../../src/port-reuse/find-strategy.ts'
import { ReuseportTcp } from '../../src/transport.ts'
import { runInNamespace } from '../fixtures/namespace.ts'
import { startBlackhole, startServer } from '../fixtures/server.ts'
import { HAS_SO_REUSEPORT } from '../fixtures/system.ts'
import { portOf } from '../kit/addresses.ts'
import { createTransport, rawUpgrader } from '../kit/transport.ts'
import type { ConnectOptions, RawConnection, SourcePort } from '../../src/index.ts'
import type { TestServer } from '../fixtures/server.ts'
import type { TestTransport } from '../kit/transport.ts'
import type { Listener, MultiaddrConnection } from '@libp2p/interface'
import type { Socket } from 'node:net'

/**
 * What dials look like to the peer: which port they come from
 */
describe('dialer', () => {
  let local: TestTransport
  let server: TestServer
  let server6: TestServer
  const cleanup: Array<() => unknown> = []

  // what the tests put in its place ends with them
  const { lookup } = dns

  beforeEach(async () => {
    local = createTransport()
    server = await startServer('127.0.0.1')
    server6 = await startServer('::1')
  })

  afterEach(async () => {
    dns.lookup = lookup
    await local.stop()
    await Promise.all([server.stop(), server6.stop(), ...cleanup.splice(0).map(fn => fn())])
  })

  /**
   * Dials the server and returns the port that it sees
   */
  async function dialServer (to: TestServer = server, host: string = '/ip4/127.0.0.1'): Promise<number> {
    const before = to.sockets.length
    const { connection, source } = await local.connect(`${host}/tcp/${to.port}`)
    const { remotePort } = await to.socket(before)

    expect(connection.localAddr?.toString()).to.equal(source.localAddr?.toString())
    expect(connection.localAddr?.toString()).to.match(new RegExp(`/tcp/${remotePort}$`))

    return Number(remotePort)
  }

  /**
   * A transport whose listener is about to be bound until `bind` is called, as a worker of a
   * cluster has it from its primary a moment later
   */
  function startListening (address: string): { transport: ReuseportTcp, bind(): void, listening: Promise<void>, listener: Listener } {
    const strategy = findPortReuse()
    let bind = (): void => {}
    const transport = new ReuseportTcp({ logger: defaultLogger() }, {}, () => ({
      ...strategy,
      listen: (listening, endpoint, options) => {
        bind = () => { strategy.listen(listening, endpoint, options) }

        return undefined
      }
    }))
    const listener = transport.createListener({ upgrader: rawUpgrader() })
    const listening = listener.listen(multiaddr(address))
    cleanup.push(async () => listener.close())

    return { transport, listener, listening, bind: () => { bind() } }
  }

  describe('source port', () => {
    it('is ephemeral without a listener', async () => {
      const { source } = await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`)

      expect(source).to.include({ kind: 'ephemeral', why: 'no_listener' })
      expect(source).to.have.property('message').that.includes('no listener on IPv4')
    })

    it('is that of the one loopback listener', async () => {
      const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')

      expect(await dialServer()).to.equal(port)
    })

    it('is that of the one IPv6 loopback listener', async () => {
      const { port } = await local.listen('/ip6/::1/tcp/0')

      expect(await dialServer(server6, '/ip6/::1')).to.equal(port)
    })

    it('is that of either of two loopback listeners', async () => {
      const listeners = [await local.listen('/ip4/127.0.0.1/tcp/0'), await local.listen('/ip4/127.0.0.1/tcp/0')]
      const ports = new Set<number>()

      // two listeners, two 4-tuples
      ports.add(await dialServer())
      ports.add(await dialServer())

      expect([...ports]).to.have.members(listeners.map(({ port }) => port))
    })

    it('is that of the loopback listener rather than the wildcard', async () => {
      await local.listen('/ip4/0.0.0.0/tcp/0')
      const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')

      expect(await dialServer()).to.equal(port)
    })

    it('is that of the wildcard rather than another address family', async () => {
      await local.listen('/ip6/::1/tcp/0')
      await local.listen('/ip6/::/tcp/0')
      const { port } = await local.listen('/ip4/0.0.0.0/tcp/0')

      expect(await dialServer()).to.equal(port)
    })

    it('is ephemeral if the only listeners are of another family', async () => {
      const { port } = await local.listen('/ip6/::/tcp/0')

      expect(await dialServer()).to.not.equal(port)
    })

    it('is the IPv4 one for an IPv4-mapped IPv6 address', async () => {
      const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')

      expect(await dialServer(server, '/ip6/::ffff:127.0.0.1')).to.equal(port)
    })

    it('is that of a listener on an IPv4-mapped IPv6 address', async () => {
      const { port } = await local.listen('/ip6/::ffff:127.0.0.1/tcp/0')

      expect(await dialServer()).to.equal(port)
    })

    it('is that of a listener on a loopback address with a zone, which means nothing there', async () => {
      const { port } = await local.listen('/ip6zone/lo/ip6/::1/tcp/0')

      expect(await dialServer(server6, '/ip6/::1')).to.equal(port)
    })

    it('is that of the loopback listener for a loopback address with a zone', async () => {
      const { port } = await local.listen('/ip6/::1/tcp/0')

      expect(await dialServer(server6, '/ip6zone/lo/ip6/::1')).to.equal(port)
    })

    const unspecified = ['/ip4/0.0.0.0', '/ip6/::ffff:0.0.0.0', '/ip6/::']
    unspecified.forEach(host => {
      it(`is that of the loopback listener for the unspecified address ${host}`, async () => {
        const is6 = host === '/ip6/::'
        const { port } = await local.listen(is6 ? '/ip6/::1/tcp/0' : '/ip4/127.0.0.1/tcp/0')
        const to = is6 ? server6 : server

        expect(await dialServer(to, host)).to.equal(port)
      })
    })

    it('is on the address that the peer sees, also to another loopback address', async () => {
      await local.listen('/ip4/127.0.0.1/tcp/0')
      const other = await startServer('127.0.0.2')
      cleanup.push(async () => other.stop())

      const { connection } = await local.connect(`/ip4/127.0.0.2/tcp/${other.port}`)
      const { remoteAddress, remotePort } = await other.socket(0)
      expect(connection.localAddr?.toString()).to.equal(`/ip4/${remoteAddress}/tcp/${remotePort}`)
    })

    it('does not change the address that the connection has as remote', async () => {
      for (const host of ['/ip4/0.0.0.0', '/ip6/::ffff:7f00:1', '/dns4/localhost']) {
        const { connection } = await local.connect(`${host}/tcp/${server.port}`)

        expect(connection.remoteAddr.toString()).to.equal(`${host}/tcp/${server.port}`)
      }
    })

    it('is not that of a closed listener', async () => {
      const { listener, port } = await local.listen('/ip4/127.0.0.1/tcp/0')
      const { port: other } = await local.listen('/ip4/0.0.0.0/tcp/0')
      await listener.close()

      const seen = await dialServer()
      expect(seen).to.equal(other)
      expect(seen).to.not.equal(port)
    })

    it('is the same for many peers', async () => {
      const { port } = await local.listen('/ip4/0.0.0.0/tcp/0')
      const servers = await Promise.all(Array.from({ length: 20 }, async () => startServer()))
      cleanup.push(...servers.map(server => async () => server.stop()))

      const ports = await Promise.all(servers.map(async server => dialServer(server)))
      expect(new Set(ports)).to.deep.equal(new Set([port]))
    })

    it('is that of a listener that is still starting', async () => {
      const listening = local.listen('/ip4/127.0.0.1/tcp/0')
      const seen = await dialServer()

      expect(seen).to.equal((await listening).port)
    })

    it('is ephemeral while the only listener looks its name up, and then that of the listener', async () => {
      const answer = pDefer<void>()
      dns.lookup = (async (...args: Parameters<typeof lookup>) => {
        await answer.promise
        return lookup(...args)
      }) as typeof lookup

      const listening = local.listen('/dns4/localhost/tcp/0')
      const { source } = await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`)
      expect(source).to.have.property('kind', 'ephemeral')

      answer.resolve()
      const { port } = await listening
      const another = await startServer()
      cleanup.push(async () => another.stop())
      expect(await dialServer(another)).to.equal(port)
    })

    it('is that of a listener that is about to be bound', async () => {
      const { transport, listener, listening, bind } = startListening('/ip4/127.0.0.1/tcp/0')
      const dialing = transport.connect(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`))
      await new Promise(resolve => setTimeout(resolve, 50))
      expect(server.sockets).to.be.empty()

      bind()
      await listening
      const connection = await dialing
      cleanup.push(() => { connection.abort(new Error('The test is over')) })
      expect(portOf(connection.localAddr)).to.equal(portOf(listener))
    })

    it('is that of the first listener to be bound, whatever another one waits for', async () => {
      const { transport, listener: stuck, listening, bind } = startListening('/ip4/127.0.0.1/tcp/0')
      const dialing = transport.connect(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`))
      const second = transport.createListener({ upgrader: rawUpgrader() })
      const secondListening = second.listen(multiaddr('/ip4/127.0.0.1/tcp/0'))
      cleanup.push(async () => second.close())

      bind()
      await secondListening
      const connection = await dialing
      expect(portOf(connection.localAddr)).to.equal(portOf(second))
      connection.abort(new Error('seen'))

      await stuck.close()
      await expect(listening).to.eventually.be.rejected().with.property('name', 'AbortError')
    })

    it('does not wait for a listener of the other family', async () => {
      const { transport, listener, listening } = startListening('/ip6/::1/tcp/0')
      const connection = await transport.connect(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`))
      connection.abort(new Error('seen'))

      await listener.close()
      await expect(listening).to.eventually.be.rejected().with.property('name', 'AbortError')
    })

    it('is ephemeral when reuse is turned off for the dial', async () => {
      const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')
      const { source } = await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`, { reusePort: false })

      expect(source).to.have.property('kind', 'ephemeral')
      expect((await server.socket(0)).remotePort).to.not.equal(port)
    })

    it('is ephemeral when reuse is turned off for the transport, unless the dial asks for it', async () => {
      const other = createTransport({ reusePort: false })
      cleanup.push(async () => other.stop())
      const { port } = await other.listen('/ip4/127.0.0.1/tcp/0')

      await other.connect(`/ip4/127.0.0.1/tcp/${server.port}`)
      expect((await server.socket(0)).remotePort).to.not.equal(port)

      await other.connect(`/ip4/127.0.0.1/tcp/${server.port}`, { reusePort: true })
      expect((await server.socket(1)).remotePort).to.equal(port)
    })

    it('is ephemeral when the environment turns reuse off', async () => {
      process.env.LIBP2P_TCP_REUSEPORT = 'false'
      cleanup.push(() => { delete process.env.LIBP2P_TCP_REUSEPORT })
      const other = createTransport({ reusePort: true })
      cleanup.push(async () => other.stop())
      const { port } = await other.listen('/ip4/127.0.0.1/tcp/0')

      await other.connect(`/ip4/127.0.0.1/tcp/${server.port}`, { reusePort: true })
      expect((await server.socket(0)).remotePort).to.not.equal(port)
      await expect(other.connect(`/ip4/127.0.0.1/tcp/${server.port}`, { reusePort: 'require' })).to.eventually.be.rejected()
        .with.property('name', 'DialError')
    })

    it('is never that of another transport', async () => {
      const other = createTransport()
      cleanup.push(async () => other.stop())
      const { port } = await other.listen('/ip4/127.0.0.1/tcp/0')

      expect(await dialServer()).to.not.equal(port)
    })
  })

  describe('a source that can not be used', () => {
    it('gives way to the next candidate, then to an ephemeral port, when the 4-tuple is taken', async () => {
      const { port: loopback } = await local.listen('/ip4/127.0.0.1/tcp/0')
      const { port: wildcard } = await local.listen('/ip4/0.0.0.0/tcp/0')

      expect(await dialServer()).to.equal(loopback)
      expect(await dialServer()).to.equal(wildcard)
      expect(await dialServer()).to.not.be.oneOf([loopback, wildcard])
    })

    /**
     * Dials and closes, as `close` does. Then somebody else holds the 4-tuple for 100 ms, as
     * on loopback the kernel holds it for no time at all. Returns what comes of dialing again
     */
    async function redialWhileHeld (close: (connection: RawConnection, peer: Socket) => unknown): Promise<{ port: number, source: SourcePort, attempts: number }> {
      const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')
      const { connection } = await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`)
      const closed = once(connection as any, 'close')
      close(connection, await server.socket(0))
      await closed

      const held = await findPortReuse().connect({ host: '127.0.0.1', port }, { host: '127.0.0.1', port: server.port }, {})
      // it fails if the kernel holds the 4-tuple already, which has the same effect
      await new Promise(resolve => held.once('connect', resolve).on('error', resolve))
      setTimeout(() => { held.resetAndDestroy() }, 100)

      let attempts = 0
      const count = (): void => { attempts++ }
      diagnostics.subscribe('net.client.socket', count)
      cleanup.push(() => diagnostics.unsubscribe('net.client.socket', count))

      const { source } = await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`)

      return { port, source, attempts }
    }

    it('is waited for when the peer has just closed its connection and the kernel still holds it', async () => {
      const { port, source } = await redialWhileHeld((_, peer) => peer.end())

      expect(source.localAddr?.toString()).to.equal(`/ip4/127.0.0.1/tcp/${port}`)
    })

    Object.entries({
      closed: (connection: RawConnection) => connection.close(),
      aborted: (connection: RawConnection) => { connection.abort(new Error('enough')) },
      'closed, before the peer did,': (connection: RawConnection, peer: Socket) => {
        peer.on('end', () => { peer.end() })
        return connection.close()
      }
    }).forEach(([name, close]) => {
      it(`is not waited for when we ${name} it, as it may be held for a minute`, async () => {
        const { source, attempts } = await redialWhileHeld(close)

        expect(source).to.have.property('kind', 'ephemeral')
        // it is tried every 10 ms for a second otherwise
        expect(attempts).to.equal(2)
      })
    })

    // without it, the peer can't make that connection again
    ;(HAS_SO_REUSEPORT ? it : it.skip)('is not waited for when it is the peer who holds it again', async () => {
      const peer = createTransport()
      cleanup.push(async () => peer.stop())
      const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')
      const accepted = pDefer<MultiaddrConnection>()
      const { port: peerPort } = await peer.listen('/ip4/127.0.0.1/tcp/0', rawUpgrader(connection => { accepted.resolve(connection) }))
      const { connection } = await local.connect(`/ip4/127.0.0.1/tcp/${peerPort}`)
      const closed = once(connection as any, 'close')
      await (await accepted.promise).close()
      await closed
      await peer.connect(`/ip4/127.0.0.1/tcp/${port}`, { reusePort: 'require' })

      let attempts = 0
      const count = (): void => { attempts++ }
      diagnostics.subscribe('net.client.socket', count)
      cleanup.push(() => diagnostics.unsubscribe('net.client.socket', count))

      const { source } = await local.connect(`/ip4/127.0.0.1/tcp/${peerPort}`)
      expect(source).to.have.property('kind', 'ephemeral')
      // it is tried every 10 ms for a second otherwise
      expect(attempts).to.be.below(10)
    })

    it('gives way when the peer holds the connection in the other direction', async () => {
      const peer = createTransport()
      cleanup.push(async () => peer.stop())
      const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')
      const { port: peerPort } = await peer.listen('/ip4/127.0.0.1/tcp/0')

      const { source: there } = await local.connect(`/ip4/127.0.0.1/tcp/${peerPort}`)
      expect(there).to.have.property('rule', 'loopback')

      const { source: back } = await peer.connect(`/ip4/127.0.0.1/tcp/${port}`)
      expect(back).to.include({ kind: 'ephemeral', why: 'unusable' })
      expect(back).to.have.property('message').that.matches(/EADDRNOTAVAIL|EADDRINUSE/)
    })
  })

  describe('a listening port that gets no answer', () => {
    /**
     * Dials a port that begins to answer after the reused dial's SYN was lost and
     * before the ephemeral dial starts
     */
    async function dialLosingFirstSyn (from: TestTransport, host: string, options?: ConnectOptions): Promise<SourcePort> {
      const blackhole = await startBlackhole(host)
      cleanup.push(async () => blackhole.stop())
      setTimeout(() => { blackhole.release() }, 20)

      return (await from.connect(`/ip4/${host}/tcp/${blackhole.port}`, options)).source
    }

    function countEvents (counted: Record<string, number>): any {
      const group = {
        increment: (labels: Record<string, true>) => { Object.keys(labels).forEach(label => { counted[label] = (counted[label] ?? 0) + 1 }) },
        update: () => {}
      }

      return { registerCounterGroup: () => group, registerMetricGroup: () => group }
    }

    it('loses to an ephemeral one, and is left alone after it lost to several destinations', async () => {
      const counted: Record<string, number> = {}
      const impatient = createTransport({ reusePortTimeout: 500 }, { metrics: countEvents(counted) })
      cleanup.push(async () => impatient.stop())
      const { port } = await impatient.listen('/ip4/127.0.0.1/tcp/0')

      for (const host of ['127.0.0.1', '127.0.0.2', '127.0.0.3']) {
        const source = await dialLosingFirstSyn(impatient, host)
        expect(source).to.include({ kind: 'ephemeral', why: 'faster' })
        expect(source).to.have.property('message').that.includes(`no answer to 127.0.0.1:${port} within 500ms`)
      }

      expect(counted).to.include({ ephemeral_won: 3, endpoint_suspended: 1 })

      const { source } = await impatient.connect(`/ip4/127.0.0.1/tcp/${server.port}`)
      expect(source).to.include({ kind: 'ephemeral', why: 'suspended', message: 'several peers could be reached from an ephemeral port, but not from the listening port' })
    })

    it('is what is dialed from, and not suspected, if no more than its first SYN was lost', async () => {
      const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')

      for (const host of ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4']) {
        const { localAddr } = await dialLosingFirstSyn(local, host)
        expect(localAddr?.toString()).to.equal(`/ip4/127.0.0.1/tcp/${port}`)
      }
    })

    it('is trusted again as soon as one dial from it connects', async () => {
      const impatient = createTransport({ reusePortTimeout: 500 })
      cleanup.push(async () => impatient.stop())
      const { port } = await impatient.listen('/ip4/127.0.0.1/tcp/0')

      for (const host of ['127.0.0.1', '127.0.0.2']) {
        await dialLosingFirstSyn(impatient, host)
      }

      await impatient.connect(`/ip4/127.0.0.1/tcp/${server.port}`)
      expect(server.ports[0]).to.equal(port)

      await dialLosingFirstSyn(impatient, '127.0.0.3')
      const other = await startServer()
      cleanup.push(async () => other.stop())
      await impatient.connect(`/ip4/127.0.0.1/tcp/${other.port}`)
      expect(other.ports[0]).to.equal(port)
    })

    Object.entries<ConnectOptions>({
      'in a hole punch': { initiator: true },
      'if a listening port is required': { reusePort: 'require' }
    }).forEach(([when, options]) => {
      it(`has no rival ${when}`, async () => {
        const impatient = createTransport({ reusePortTimeout: 500 })
        cleanup.push(async () => impatient.stop())
        const { port } = await impatient.listen('/ip4/127.0.0.1/tcp/0')

        const source = await dialLosingFirstSyn(impatient, '127.0.0.1', options)
        expect(source).to.have.property('rule', 'loopback')
        expect(source.localAddr?.toString()).to.equal(`/ip4/127.0.0.1/tcp/${port}`)
      })
    })

    it('does not go on after the signal', async () => {
      const impatient = createTransport({ reusePortTimeout: 50 })
      cleanup.push(async () => impatient.stop())
      await impatient.listen('/ip4/127.0.0.1/tcp/0')
      const blackhole = await startBlackhole()
      cleanup.push(async () => blackhole.stop())
      const sockets = (): number => process.getActiveResourcesInfo().filter(name => name.includes('TCP')).length
      const before = sockets()

      await expect(impatient.connect(`/ip4/127.0.0.1/tcp/${blackhole.port}`, { signal: AbortSignal.timeout(100) })).to.eventually.be.rejected()
        .with.property('name', 'AbortError')
      await new Promise(resolve => setTimeout(resolve, 100))
      expect(sockets()).to.equal(before)
    })
  })

  describe('a peer that was connected a moment ago', () => {
    const ends: Record<string, (connection: RawConnection, socket: Socket) => Promise<unknown>> = {
      'we closed': async connection => connection.close(),
      'we aborted': async connection => { connection.abort(new Error('enough')) },
      'the peer closed': async (connection, socket) => {
        const closed = once(connection as any, 'close')
        socket.end()
        await closed
      },
      'the peer reset': async (connection, socket) => {
        const closed = once(connection as any, 'close')
        socket.resetAndDestroy()
        await closed
      }
    }

    Object.entries(ends).forEach(([name, end]) => {
      it(`is dialed from the listening port again, 1,000 times in a row, right after ${name}`, async () => {
        const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')
        const peer = await startServer('127.0.0.1', 0, socket => {
          socket.resume()
          socket.on('end', () => socket.end())
        })
        cleanup.push(async () => peer.stop())

        for (let i = 0; i < 1000; i++) {
          const { connection } = await local.connect(`/ip4/127.0.0.1/tcp/${peer.port}`)
          await end(connection, await peer.socket(i))
        }

        const others = peer.ports.filter(from => from !== port)
        // with BSD's rules, the 4-tuple that we closed first stays in TIME_WAIT
        expect(others).to.have.lengthOf(HAS_SO_REUSEPORT || name !== 'we closed' ? 0 : 999)
      })
    })
  })

  describe('many transports in one process', () => {
    it('each dial from their own port', async () => {
      const transports = Array.from({ length: 10 }, () => createTransport())
      cleanup.push(...transports.map(transport => async () => transport.stop()))
      const ports = await Promise.all(transports.map(async ({ listen }) => (await listen('/ip4/0.0.0.0/tcp/0')).port))

      for (let i = 0; i < transports.length; i++) {
        await transports[i].connect(`/ip4/127.0.0.1/tcp/${server.port}`)
        await server.socket(i)
      }

      expect(server.ports).to.deep.equal(ports)
    })
  })

  describe('dialing one of our own addresses', () => {
    const hosts4 = ['/ip4/127.0.0.1', '/ip4/0.0.0.0', '/ip6/::ffff:0.0.0.0', '/dns4/0.0.0.0', '/dns/::ffff:127.0.0.1', '/dns/::ffff:0.0.0.0']
    const hosts6 = ['/ip6/::1', '/ip6/::', '/ip6zone/lo/ip6/::1', '/dns6/::']
    const cases = [
      ...hosts4.flatMap(host => [['/ip4/127.0.0.1', host], ['/ip4/0.0.0.0', host]]),
      ...hosts6.flatMap(host => [['/ip6/::1', host], ['/ip6/::', host]])
    ]

    cases.forEach(([addr, host]) => {
      it(`reaches the listener on ${addr} by ${host}`, async () => {
        const inbound = pDefer<string>()
        const { port } = await local.listen(`${addr}/tcp/0`, rawUpgrader(connection => { inbound.resolve(connection.remoteAddr.toString()) }))

        const { connection, source } = await local.connect(`${host}/tcp/${port}`)
        expect(await inbound.promise).to.equal(connection.localAddr?.toString())
        expect(source).to.have.property('kind', 'ephemeral')
      })
    })

    it('reaches the listener also by an address that no interface lists', async function () {
      const addresses = `
        ip address add 11.0.0.1/32 dev lo
        ip link add without type veth peer name carrier
        ip address add 172.31.0.1/24 dev without
        ip route add local 198.51.100.0/24 dev lo
      `
      const expected = (host: string): object => {
        const dialed = `ephemeral: the socket connected to itself at ${host}:PORT`

        return { required: 'DialError', dialed: [dialed, dialed], accepted: true }
      }

      expect(await runInNamespace(this, addresses, 'own-addresses.ts')).to.deep.equal(
        Object.fromEntries(['127.0.0.1', '11.0.0.1', '172.31.0.1', '198.51.100.7'].map(host => [host, expected(host)]))
      )
    })
  })

  describe('errors', () => {
    it('of a peer that resets what it has accepted are no refusal of the port, and not checked from another one', async () => {
      // in a thread, so that its RST is here before this thread looks whether it is connected
      const peer = new Worker(`
        const { parentPort } = require('node:worker_threads')
        let accepted = 0
        const server = require('node:net').createServer(socket => {
          accepted++
          socket.resetAndDestroy()
        })
        server.listen(0, '127.0.0.1', () => { parentPort.postMessage(server.address().port) })
        parentPort.on('message', () => { parentPort.postMessage(accepted) })
      `, { eval: true })
      cleanup.push(async () => peer.terminate())
      const [port] = await once(peer, 'message')
      await local.listen('/ip4/127.0.0.1/tcp/0')
      const outcome = local.connect(`/ip4/127.0.0.1/tcp/${port}`).catch(err => err)
      await nextTurn()
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)

      expect(await outcome).to.have.property('code', 'ECONNRESET')
      peer.postMessage('how many?')
      expect(await once(peer, 'message')).to.deep.equal([1])
    })

    it('that the network gave are the result when an ephemeral port is refused as well, without a look at other listeners', async () => {
      await local.listen('/ip4/127.0.0.1/tcp/0')
      await local.listen('/ip4/0.0.0.0/tcp/0')
      await server.stop()

      let attempts = 0
      const count = (): void => { attempts++ }
      diagnostics.subscribe('net.client.socket', count)
      cleanup.push(() => diagnostics.unsubscribe('net.client.socket', count))

      await expect(local.connect(`/ip4/127.0.0.1/tcp/${server.port}`)).to.eventually.be.rejected()
        .with.property('code', 'ECONNREFUSED')
      expect(attempts).to.equal(2)

      server = await startServer()
    })

    it('name what can not be dialed, and nothing is opened', async () => {
      let attempts = 0
      const count = (): void => { attempts++ }
      diagnostics.subscribe('net.client.socket', count)
      cleanup.push(() => diagnostics.unsubscribe('net.client.socket', count))

      for (const addr of [
        '/ip4/127.0.0.1/udp/4001', '/ip4/127.0.0.1/tcp/4001/ws', '/ip4/127.0.0.1', '/ip4/127.0.0.1/tcp/0', '/dns4/localhost/tcp/0',
        '/dnsaddr/localhost/tcp/4001'
      ]) {
        await expect(local.transport.connect(multiaddr(addr)), addr).to.eventually.be.rejected()
          .with.property('name', 'InvalidParametersError')
        await expect(local.transport.connect(multiaddr(addr))).to.eventually.be.rejected()
          .with.property('message').that.include(multiaddr(addr).toString())
      }

      expect(attempts).to.equal(0)
    })

    it('name a host that does not exist', async () => {
      dns.lookup = (async () => { throw Object.assign(new Error('getaddrinfo ENOTFOUND nobody.invalid'), { code: 'ENOTFOUND' }) }) as typeof lookup

      await expect(local.connect(`/dns4/nobody.invalid/tcp/${server.port}`)).to.eventually.be.rejected()
        .with.property('code', 'ENOTFOUND')
    })
  })

  describe('names', () => {
    it('are resolved by the system', async () => {
      const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')
      const another = await startServer()
      cleanup.push(async () => another.stop())

      expect(await dialServer(server, '/dns4/localhost')).to.equal(port)
      expect(await dialServer(another, '/dns/localhost')).to.equal(port)
    })

    function resolveTo (...addresses: string[]): void {
      dns.lookup = (async () => addresses.map(address => ({ address, family: address.includes(':') ? 6 : 4 }))) as unknown as typeof lookup
    }

    it('are dialed as what they resolve to is dialed itself', async () => {
      const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')
      const { port: port6 } = await local.listen('/ip6/::1/tcp/0')

      // the unspecified address is what DNS blockers answer
      for (const address of ['::ffff:127.0.0.1', '::ffff:7f00:1', '0.0.0.0']) {
        const peer = await startServer()
        cleanup.push(async () => peer.stop())
        resolveTo(address)
        expect(await dialServer(peer, '/dns/somewhere.test'), address).to.equal(port)
      }

      resolveTo('::')
      expect(await dialServer(server6, '/dns6/somewhere.test')).to.equal(port6)
    })

    it('that resolve to one address in two spellings are dialed once', async () => {
      await local.listen('/ip4/127.0.0.1/tcp/0')
      await server.stop()
      resolveTo('127.0.0.1', '::ffff:127.0.0.1')

      const err = await local.connect(`/dns/two-spellings.test/tcp/${server.port}`).then(() => undefined, err => err)
      expect(err).to.have.property('syscall', 'connect')
      expect(err).to.not.have.property('errors')

      server = await startServer()
    })

    it('race both families when the first does not answer, each from its own source', async () => {
      const blackhole = await startBlackhole('::1')
      const answers = await startServer('127.0.0.1', blackhole.port)
      cleanup.push(async () => blackhole.stop(), async () => answers.stop())
      await local.listen('/ip6/::1/tcp/0')
      const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')
      resolveTo('::1', '127.0.0.1')

      expect(await dialServer(answers, '/dns/two-families.test')).to.equal(port)
    })

    it('try the other family at once when the first one refuses', async () => {
      const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')
      resolveTo('::1', '127.0.0.1')

      expect(await dialServer(server, '/dns/two-families.test')).to.equal(port)
    })

    it('fail with all reasons when no address answers', async () => {
      await Promise.all([server.stop(), server6.stop()])
      resolveTo('::1', '127.0.0.1')

      const err = await local.connect(`/dns/two-families.test/tcp/${server.port}`).then(() => undefined, err => err)
      expect(err).to.have.property('code', 'ECONNREFUSED')
      expect(err).to.have.property('errors').with.lengthOf(2)

      server = await startServer()
      server6 = await startServer('::1')
    })
  })

  describe('an abort', () => {
    function openSockets (): number {
      return process.getActiveResourcesInfo().filter(name => /TCP|UDP/.test(name)).length
    }

    it('before the dial opens nothing', async () => {
      let attempts = 0
      const count = (): void => { attempts++ }
      diagnostics.subscribe('net.client.socket', count)
      cleanup.push(() => diagnostics.unsubscribe('net.client.socket', count))

      await expect(local.connect(`/ip4/127.0.0.1/tcp/${server.port}`, { signal: AbortSignal.abort() })).to.eventually.be.rejected()
        .with.property('name', 'AbortError')
      expect(attempts).to.equal(0)
    })

    it('while a name is resolved ends the dial', async () => {
      dns.lookup = (async () => new Promise(() => {})) as unknown as typeof lookup

      await expect(local.connect(`/dns4/slow.test/tcp/${server.port}`, { signal: AbortSignal.timeout(20) })).to.eventually.be.rejected()
        .with.property('name', 'AbortError')
    })

    it('while a listener is starting ends the dial', async () => {
      const { transport, listener, listening } = startListening('/ip4/127.0.0.1/tcp/0')

      await expect(transport.connect(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`), { signal: AbortSignal.timeout(20) })).to.eventually.be.rejected()
        .with.property('name', 'AbortError')

      await listener.close()
      await expect(listening).to.eventually.be.rejected().with.property('name', 'AbortError')
    })

    it('while connecting leaves nothing open', async () => {
      const blackhole = await startBlackhole()
      cleanup.push(async () => blackhole.stop())
      await local.listen('/ip4/127.0.0.1/tcp/0')
      const before = openSockets()
      const controller = new AbortController()

      const dialing = local.connect(`/ip4/127.0.0.1/tcp/${blackhole.port}`, { signal: controller.signal })
      await new Promise(resolve => setTimeout(resolve, 50))
      expect(openSockets()).to.equal(before + 1)

      controller.abort()
      await expect(dialing).to.eventually.be.rejected().with.property('name', 'AbortError')
      await new Promise(resolve => setTimeout(resolve, 10))
      expect(openSockets()).to.equal(before)
    })

    it('while upgrading closes the connection', async () => {
      const controller = new AbortController()
      const upgrading = pDefer<void>()
      const dialing = local.transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`), {
        signal: controller.signal,
        upgrader: rawUpgrader(async (_, { signal }) => {
          upgrading.resolve()
          await new Promise((resolve, reject) => { signal.addEventListener('abort', () => { reject(signal.reason) }) })
        })
      })

      await upgrading.promise
      const socket = await server.socket(0)
      const closed = new Promise(resolve => socket.once('close', resolve))
      controller.abort()

      await expect(dialing).to.eventually.be.rejected().with.property('name', 'AbortError')
      await closed
    })
  })
})
