import dns from 'node:dns/promises'
import { once } from 'node:events'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { Worker } from 'node:worker_threads'
import { defaultLogger } from '@libp2p/logger'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { startServer } from '../fixtures/server.ts'
import { startOtherTransport } from '../fixtures/start-other-transport.ts'
import { ACCEPTS_WHAT_WAS_RESET, HAS_MORE_LOOPBACK, HAS_SO_REUSEPORT, REUSES_PORTS, elsewhere, where } from '../fixtures/system.ts'
import { portOf } from '../kit/addresses.ts'
import { createTransport, rawUpgrader } from '../kit/transport.ts'
import { until } from '../kit/wait.ts'
import type { TestTransport } from '../kit/transport.ts'
import type { ComponentLogger, Listener, MultiaddrConnection } from '@libp2p/interface'
import type { Socket } from 'node:net'

describe('listener', () => {
  let local: TestTransport
  let other: TestTransport
  const cleanup: Array<() => unknown> = []

  beforeEach(() => {
    local = createTransport()
    other = createTransport()
  })

  afterEach(async () => {
    await local.stop()
    await other.stop()
    await Promise.all(cleanup.splice(0).map(fn => fn()))
  })

  async function connect (port: number, host: string = '127.0.0.1'): Promise<Socket> {
    const socket = net.connect({ host, port })
    cleanup.push(() => { socket.destroy() })
    socket.on('error', () => {})
    await once(socket, 'connect')

    return socket
  }

  /** Has another process listen with SO_REUSEPORT and returns its port */
  async function listenElsewhere (port: number = 0): Promise<number> {
    const child = startOtherTransport({ sharePort: true })
    cleanup.push(async () => child.kill())

    return child.ask('listen', `/ip4/127.0.0.1/tcp/${port}`)
  }

  function countEvents (listener: Listener): Record<string, number> {
    const counts: Record<string, number> = { listening: 0, error: 0, close: 0 }

    for (const name of ['listening', 'error', 'close'] as const) {
      listener.addEventListener(name, () => { counts[name]++ })
    }

    return counts
  }

  describe('addresses', () => {
    it('has the real port when it was asked for port 0', async () => {
      const { listener, port } = await local.listen('/ip4/127.0.0.1/tcp/0')

      expect(port).to.be.greaterThan(0)
      expect(listener.getAddrs().map(String)).to.deep.equal([`/ip4/127.0.0.1/tcp/${port}`])
      await connect(port)
    })

    it('expands the wildcard to the addresses of the interfaces', async () => {
      for (const [addr, family] of [['/ip4/0.0.0.0', 'IPv4'], ['/ip6/::', 'IPv6']]) {
        const { listener, port } = await local.listen(`${addr}/tcp/0`)
        const own = Object.values(os.networkInterfaces()).flat()
          .filter(address => address?.family === family && !address.address.startsWith('fe80'))
          .map(address => `/${addr.split('/')[1]}/${address?.address}/tcp/${port}`)

        expect(listener.getAddrs().map(String)).to.have.members(own)
      }
    })

    it('has none before it listens and after it has closed', async () => {
      const listener = local.transport.createListener({ upgrader: rawUpgrader() })
      expect(listener.getAddrs()).to.be.empty()

      await listener.listen(multiaddr('/ip4/127.0.0.1/tcp/0'))
      await listener.close()
      expect(listener.getAddrs()).to.be.empty()
    })

    it('keeps IPv6 and IPv4 apart', async () => {
      const { port } = await local.listen('/ip6/::/tcp/0')

      await expect(connect(port)).to.eventually.be.rejected().with.property('code', 'ECONNREFUSED')

      await local.listen(`/ip4/0.0.0.0/tcp/${port}`)
      await connect(port)
    })

    it('can be a name', async () => {
      const { listener, port } = await local.listen('/dns4/localhost/tcp/0')

      expect(listener.getAddrs().map(String)).to.deep.equal([`/dns4/localhost/tcp/${port}`])
      await connect(port)
    })

    it('can not be a name that there is not, which is an error event as well', async () => {
      const { lookup } = dns
      cleanup.push(() => { dns.lookup = lookup })
      dns.lookup = (async () => { throw Object.assign(new Error('getaddrinfo ENOTFOUND nobody.invalid'), { code: 'ENOTFOUND' }) }) as typeof lookup
      const listener = local.transport.createListener({ upgrader: rawUpgrader() })
      const errors: Error[] = []
      listener.addEventListener('error', ({ detail }) => { errors.push(detail) })

      const failure = await listener.listen(multiaddr('/dns4/nobody.invalid/tcp/0')).catch(err => err)
      expect(failure).to.have.property('code', 'ENOTFOUND')
      expect(errors).to.deep.equal([failure])
    })

    it('can be an IPv4-mapped IPv6 address, and a name that stands for one', async () => {
      const { lookup } = dns
      cleanup.push(() => { dns.lookup = lookup })
      dns.lookup = (async () => [{ address: '::ffff:127.0.0.1', family: 6 }]) as unknown as typeof lookup

      for (const addr of ['/ip6/::ffff:7f00:1', '/dns/mapped.test']) {
        const { listener, port } = await local.listen(`${addr}/tcp/0`)

        expect(listener.getAddrs().map(String)).to.deep.equal([`${addr}/tcp/${port}`])
        await connect(port, '127.0.0.1')
      }
    })

    it('must be TCP', async () => {
      const listener = local.transport.createListener({ upgrader: rawUpgrader() })

      for (const addr of ['/ip4/127.0.0.1/udp/0', '/ip4/127.0.0.1/tcp/0/ws', '/dnsaddr/localhost/tcp/0']) {
        await expect(listener.listen(multiaddr(addr))).to.eventually.be.rejected()
          .with.property('message').that.include(addr)
        await expect(listener.listen(multiaddr(addr))).to.eventually.be.rejected()
          .with.property('name', 'InvalidParametersError')
      }
    })
  })

  describe('events', () => {
    it('come once each', async () => {
      const listener = local.transport.createListener({ upgrader: rawUpgrader() })
      const counts = countEvents(listener)

      await listener.listen(multiaddr('/ip4/127.0.0.1/tcp/0'))
      expect(counts).to.deep.equal({ listening: 1, error: 0, close: 0 })

      await Promise.all([listener.close(), listener.close()])
      await listener.close()
      expect(counts).to.deep.equal({ listening: 1, error: 0, close: 1 })
    })

    it('has one error when it can not listen', async () => {
      const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')
      const listener = other.transport.createListener({ upgrader: rawUpgrader() })
      const counts = countEvents(listener)

      await expect(listener.listen(multiaddr(`/ip4/127.0.0.1/tcp/${port}`))).to.eventually.be.rejected()
      expect(counts).to.deep.equal({ listening: 0, error: 1, close: 0 })
    })

    it('refuses to listen twice at once', async () => {
      const { listener } = await local.listen('/ip4/127.0.0.1/tcp/0')

      await expect(listener.listen(multiaddr('/ip4/127.0.0.1/tcp/0'))).to.eventually.be.rejected()
        .with.property('name', 'AlreadyStartedError')
    })
  })

  where(HAS_SO_REUSEPORT).describe('one port, several listeners', () => {
    it('is fine within one transport: each connection reaches one of them', async () => {
      const reached: number[] = []
      const { port } = await local.listen('/ip4/127.0.0.1/tcp/0', rawUpgrader(() => { reached.push(0) }))
      await local.listen(`/ip4/127.0.0.1/tcp/${port}`, rawUpgrader(() => { reached.push(1) }))
      await local.listen(`/ip4/127.0.0.1/tcp/${port}`, rawUpgrader(() => { reached.push(2) }))

      for (let i = 0; i < 30; i++) {
        await connect(port)
      }

      await until(() => reached.length === 30)
    })

    it('stays in use for dials until the last one closes', async () => {
      const { listener, port } = await local.listen('/ip4/127.0.0.1/tcp/0')
      const { listener: second } = await local.listen(`/ip4/127.0.0.1/tcp/${port}`)
      const server = await startServer()
      cleanup.push(async () => server.stop())

      await listener.close()
      await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`)
      expect((await server.socket(0)).remotePort).to.equal(port)

      await second.close()
      await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`)
      expect((await server.socket(1)).remotePort).to.not.equal(port)
    })

    Object.entries({
      'another transport': async () => (await other.listen('/ip4/127.0.0.1/tcp/0')).port,
      'another process': async () => listenElsewhere(),
      'a plain server': async () => {
        const server = await startServer()
        cleanup.push(async () => server.stop())
        return server.port
      }
    }).forEach(([name, listen]) => {
      it(`is EADDRINUSE, naming the address, when the port is that of ${name}`, async () => {
        const port = await listen()

        for (const host of ['127.0.0.1', '0.0.0.0']) {
          const err = await local.listen(`/ip4/${host}/tcp/${port}`).then(() => undefined, err => err)
          expect(err).to.have.property('code', 'EADDRINUSE')
          expect(err).to.have.property('message').that.include(`${host}:${port}`)
        }
      })
    })

    where(HAS_MORE_LOOPBACK).it('is EADDRINUSE for the wildcard when another process has one of its addresses, although we have another one', async () => {
      const child = startOtherTransport({ sharePort: true })
      cleanup.push(async () => child.kill())
      const port = await child.ask('listen', '/ip4/127.0.0.1/tcp/0')
      const { listener } = await local.listen(`/ip4/127.0.0.2/tcp/${port}`)

      const err = await local.listen(`/ip4/0.0.0.0/tcp/${port}`).then(() => undefined, err => err)
      expect(err).to.have.property('code', 'EADDRINUSE')
      expect(err).to.have.property('message').that.include(`127.0.0.1:${port}`)

      // without a listener of ours, with all of them, and with the wildcard as well
      await listener.close()
      await expect(local.listen(`/ip4/0.0.0.0/tcp/${port}`)).to.eventually.be.rejected().with.property('code', 'EADDRINUSE')
      await child.kill()
      await local.listen(`/ip4/127.0.0.1/tcp/${port}`)
      await local.listen(`/ip4/0.0.0.0/tcp/${port}`)
      await local.listen(`/ip4/127.0.0.2/tcp/${port}`)
      await local.listen(`/ip4/0.0.0.0/tcp/${port}`)
    })

    it('can be shared with another transport and another process if that is asked for', async () => {
      const sharing = createTransport({ sharePort: true })
      cleanup.push(async () => sharing.stop())
      const { port } = await other.listen('/ip4/127.0.0.1/tcp/0')
      await sharing.listen(`/ip4/127.0.0.1/tcp/${port}`)
      await sharing.listen(`/ip4/127.0.0.1/tcp/${await listenElsewhere()}`)
    })
  })

  // as for any server of Node
  elsewhere(HAS_SO_REUSEPORT).describe('one port, several listeners, without SO_REUSEPORT', () => {
    it('is EADDRINUSE, naming the address, whoever listens there', async () => {
      const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')
      const sharing = createTransport({ sharePort: true })
      cleanup.push(async () => sharing.stop())

      for (const transport of [local, other, sharing]) {
        const err = await transport.listen(`/ip4/127.0.0.1/tcp/${port}`).then(() => undefined, err => err)
        expect(err).to.have.property('code', 'EADDRINUSE')
        expect(err).to.have.property('message').that.include(`127.0.0.1:${port}`)
      }
    })

    where(REUSES_PORTS).it('dials from an ephemeral port if the wildcard and the address are both listened on', async () => {
      const server = await startServer()
      cleanup.push(async () => server.stop())
      const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')
      await local.listen(`/ip4/0.0.0.0/tcp/${port}`)

      const { source } = await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`)
      expect(source).to.include({ kind: 'ephemeral', why: 'unusable' })
      expect(source).to.have.property('message').that.includes('EADDRINUSE')
    })
  })

  it('does not let others in on its port when the environment turns port reuse off', async () => {
    process.env.LIBP2P_TCP_REUSEPORT = 'false'
    const alone = createTransport({ sharePort: true })
    delete process.env.LIBP2P_TCP_REUSEPORT
    cleanup.push(async () => alone.stop())
    const { port } = await alone.listen('/ip4/127.0.0.1/tcp/0')

    const server = net.createServer()
    const failed = once(server, 'error')
    server.listen({ host: '127.0.0.1', port, reusePort: HAS_SO_REUSEPORT })
    expect((await failed)[0]).to.have.property('code', 'EADDRINUSE')
    await connect(port)
  })

  describe('closing', () => {
    it('frees the port for anybody', async () => {
      const { listener, port } = await local.listen('/ip4/127.0.0.1/tcp/0')
      await connect(port)
      await listener.close()

      await expect(connect(port)).to.eventually.be.rejected().with.property('code', 'ECONNREFUSED')

      const { listener: next } = await local.listen(`/ip4/127.0.0.1/tcp/${port}`)
      await connect(port)
      await next.close()

      const server = await startServer('127.0.0.1', port)
      await server.stop()
    })

    it('frees the port although connections that were dialed from it stay open', async () => {
      const server = await startServer()
      cleanup.push(async () => server.stop())
      const { listener, port } = await local.listen('/ip4/127.0.0.1/tcp/0')
      const { connection } = await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`)
      await listener.close()

      expect(connection.status).to.equal('open')
      await other.listen(`/ip4/127.0.0.1/tcp/${port}`)
    })

    it('takes until all connections are closed and have said so, those in an upgrade as well', async () => {
      const connections: MultiaddrConnection[] = []
      const signals: AbortSignal[] = []
      const upgraders = [
        async () => {},
        async () => new Promise(() => {}),
        async (signal: AbortSignal) => once(signal, 'abort').then(() => { throw new Error('aborted') })
      ]
      const { listener, port } = await local.listen('/ip4/127.0.0.1/tcp/0', rawUpgrader(async (connection, { signal }) => {
        connections.push(connection)
        signals.push(signal)
        await upgraders[connections.length % upgraders.length](signal)
      }))
      let closeEvents = 0

      for (let i = 0; i < 21; i++) {
        await connect(port)
      }

      await until(() => connections.length === 21)
      connections.forEach(connection => { connection.addEventListener('close', () => { closeEvents++ }) })

      const left: string[] = []
      listener.addEventListener('close', () => { left.push(...connections.map(({ status }) => status)) })
      await listener.close()

      expect(signals.map(({ aborted }) => aborted)).to.not.include(false)
      expect(closeEvents).to.equal(21)
      expect(left).to.have.lengthOf(21)
      expect(left.filter(status => status !== 'closed' && status !== 'aborted')).to.be.empty()
    })

    it('while it starts ends the start', async () => {
      const listener = local.transport.createListener({ upgrader: rawUpgrader() })
      const listening = listener.listen(multiaddr('/ip4/127.0.0.1/tcp/0'))
      await listener.close()

      await expect(listening).to.eventually.be.rejected().with.property('name', 'AbortError')
      expect(listener.getAddrs()).to.be.empty()
    })

    it('can be followed by listening again with the same listener', async () => {
      const { listener, port } = await local.listen('/ip4/127.0.0.1/tcp/0')
      await listener.close()
      await listener.listen(multiaddr(`/ip4/127.0.0.1/tcp/${port}`))

      expect(portOf(listener)).to.equal(port)
      await connect(port)
    })
  })

  describe('limits', () => {
    async function untilPaused (listener: Listener): Promise<void> {
      await until(() => listener.getAddrs().length === 0)
    }

    it('drops connections above maxConnections', async () => {
      const limited = createTransport({ maxConnections: 1 })
      cleanup.push(async () => limited.stop())
      const accepted: MultiaddrConnection[] = []
      const { port } = await limited.listen('/ip4/127.0.0.1/tcp/0', rawUpgrader(connection => { accepted.push(connection) }))

      const first = await connect(port)
      const second = await connect(port)
      second.resume()
      await once(second, 'close')

      const received = once(first, 'data')
      accepted[0].send(Uint8Array.from([1]))
      await received
      expect(accepted).to.have.lengthOf(1)
    })

    where(REUSES_PORTS).it('pauses above a number of connections, keeps its port for dials, and resumes on it', async () => {
      const limited = createTransport({ closeServerOnMaxConnections: { closeAbove: 2, listenBelow: 2 } })
      cleanup.push(async () => limited.stop())
      const server = await startServer()
      cleanup.push(async () => server.stop())
      const { listener, port } = await limited.listen('/ip4/127.0.0.1/tcp/0')
      const counts = countEvents(listener)
      const [first] = [await connect(port), await connect(port)]
      await untilPaused(listener)

      await expect(connect(port)).to.eventually.be.rejected().with.property('code', 'ECONNREFUSED')

      await limited.connect(`/ip4/127.0.0.1/tcp/${server.port}`)
      expect((await server.socket(0)).remotePort).to.equal(port)

      const resumed = once(listener as any, 'listening')
      first.destroy()
      await resumed
      expect(portOf(listener)).to.equal(port)
      await connect(port)
      expect(counts).to.deep.equal({ listening: 1, error: 0, close: 0 })
    })

    it('lives on when the port was taken while it was paused, and takes it back when it can', async () => {
      const errors: Error[] = []
      const limited = createTransport({
        closeServerOnMaxConnections: {
          closeAbove: 2,
          listenBelow: 2,
          onListenError: err => {
            errors.push(err)
            throw new Error('this handler is broken')
          }
        }
      })
      cleanup.push(async () => limited.stop())
      const { listener, port } = await limited.listen('/ip4/127.0.0.1/tcp/0')
      const [first, second] = [await connect(port), await connect(port)]
      await untilPaused(listener)

      const { listener: thief } = await other.listen(`/ip4/127.0.0.1/tcp/${port}`)
      const failed = once(listener as any, 'error')
      first.destroy()
      const [{ detail }] = await failed
      await until(() => errors.length > 0)
      expect(detail).to.have.property('code', 'EADDRINUSE')
      expect(errors).to.deep.equal([detail])

      await thief.close()
      const resumed = once(listener as any, 'listening')
      second.destroy()
      await resumed
      await connect(port)
    })

    it('tries again after a while if the port was taken, without any connection left', async () => {
      const limited = createTransport({ closeServerOnMaxConnections: { closeAbove: 1, listenBelow: 1 } })
      cleanup.push(async () => limited.stop())
      const { listener, port } = await limited.listen('/ip4/127.0.0.1/tcp/0')
      const last = await connect(port)
      await untilPaused(listener)

      const { listener: thief } = await other.listen(`/ip4/127.0.0.1/tcp/${port}`)
      const failed = once(listener as any, 'error')
      last.destroy()
      await failed

      const resumed = once(listener as any, 'listening')
      await thief.close()
      await resumed
      await connect(port)
    })

    it('closes when it is paused', async () => {
      const limited = createTransport({ closeServerOnMaxConnections: { closeAbove: 1, listenBelow: 1 } })
      cleanup.push(async () => limited.stop())
      const { listener, port } = await limited.listen('/ip4/127.0.0.1/tcp/0')
      const counts = countEvents(listener)
      await connect(port)
      await untilPaused(listener)
      await listener.close()

      expect(counts).to.deep.equal({ listening: 0, error: 0, close: 1 })
    })

    it('can not resume above the number at which it pauses', () => {
      expect(() => createTransport({ closeServerOnMaxConnections: { closeAbove: 1, listenBelow: 2 } })).to.throw()
        .with.property('name', 'InvalidParametersError')
    })
  })

  describe('connections that wait in the queue of a shared port', () => {
    /** They are connected when this returns, and nothing can have accepted them */
    async function queue (port: number): Promise<Socket[]> {
      const sockets = Array.from({ length: 20 }, () => net.connect({ host: '127.0.0.1', port }).on('error', () => {}))
      cleanup.push(() => { sockets.forEach(socket => { socket.destroy() }) })
      // Node calls connect(2) on the next tick, and the kernel connects at once
      await new Promise<void>(resolve => { process.nextTick(resolve) })

      return sockets
    }

    it('are accepted before a pause, which would reset them', async () => {
      const limited = createTransport({ sharePort: true, closeServerOnMaxConnections: { closeAbove: 1, listenBelow: 1 } })
      cleanup.push(async () => limited.stop())
      let accepted = 0
      const { listener, port } = await limited.listen('/ip4/127.0.0.1/tcp/0', rawUpgrader(() => { accepted++ }))
      const sockets = await queue(port)

      await until(() => accepted === 20)
      await until(async () => connect(port).then(() => false, err => err.code === 'ECONNREFUSED'))
      expect(sockets.map(({ destroyed }) => destroyed)).to.not.include(true)
      expect(listener.getAddrs()).to.be.empty()
    })

    it('are accepted before it closes', async () => {
      const sharing = createTransport({ sharePort: true })
      let accepted = 0
      const { listener, port } = await sharing.listen('/ip4/127.0.0.1/tcp/0', rawUpgrader(() => { accepted++ }))
      const counts = countEvents(listener)
      await queue(port)

      await Promise.all([listener.close(), listener.close()])
      expect(accepted).to.equal(20)
      expect(counts).to.deep.equal({ listening: 0, error: 0, close: 1 })
      await expect(connect(port)).to.eventually.be.rejected().with.property('code', 'ECONNREFUSED')
    })
  })

  describe('the error log', () => {
    let errors: string[]
    let watched: ComponentLogger

    beforeEach(() => {
      const logger = defaultLogger()
      errors = []
      watched = {
        forComponent: name => Object.assign(() => {}, logger.forComponent(name), {
          error: (format: string) => {
            if (name === 'libp2p:reuseport-tcp:listener') {
              errors.push(format)
            }
          }
        })
      }
    })

    it('has upgrades that fail, and attempts to listen again', async () => {
      const limited = createTransport({ closeServerOnMaxConnections: { closeAbove: 1, listenBelow: 1 } }, { logger: watched })
      cleanup.push(async () => limited.stop())
      const upgrader = rawUpgrader()
      const { listener, port } = await limited.listen('/ip4/127.0.0.1/tcp/0', upgrader)

      const { upgradeInbound } = upgrader
      upgrader.upgradeInbound = async () => { throw new Error('not this one') }
      // this end may hear of the reset first
      net.connect({ host: '127.0.0.1', port }).on('error', () => {})
      await until(() => errors.length === 1)

      upgrader.upgradeInbound = upgradeInbound
      const last = await connect(port)
      await until(() => listener.getAddrs().length === 0)
      await other.listen(`/ip4/127.0.0.1/tcp/${port}`)
      last.destroy()
      await until(() => errors.length === 2)
      expect(errors).to.deep.equal([
        'inbound connection upgrade failed - %e',
        'could not listen on %s again, next attempt in %dms - %e'
      ])
    })

    // elsewhere the kernel keeps such a connection to itself
    where(ACCEPTS_WHAT_WAS_RESET).it('has connections whose peer has gone by then', async () => {
      const listening = createTransport({}, { logger: watched })
      cleanup.push(async () => listening.stop())
      const { port } = await listening.listen('/ip4/127.0.0.1/tcp/0')
      const flag = new Int32Array(new SharedArrayBuffer(4))
      const peer = new Worker(`
        const { port, flag } = require('node:worker_threads').workerData
        const socket = require('node:net').connect(port, '127.0.0.1', () => {
          socket.resetAndDestroy()
          Atomics.store(flag, 0, 1)
          Atomics.notify(flag, 0)
        })
      `, { eval: true, workerData: { port, flag } })
      cleanup.push(async () => peer.terminate())
      // until it is so, nothing is accepted
      Atomics.wait(flag, 0, 0, 10_000)

      await until(() => errors.length === 1)
      expect(errors).to.deep.equal(['inbound connection failed - %e'])
    })
  })

  describe('unix sockets', () => {
    it('carry data both ways', async () => {
      const file = encodeURIComponent(path.join(os.tmpdir(), `reuseport-${process.pid}.sock`))
      const addr = `/unix/${file}`
      const { listener } = await local.listen(addr, rawUpgrader(connection => {
        connection.addEventListener('message', ({ data }) => { connection.send(data) })
      }))
      // a named pipe has a longer name
      expect(listener.getAddrs().join()).to.include(file)

      const { connection, source } = await other.connect(addr)
      expect(source).to.have.property('kind', 'unix')
      expect(connection.remoteAddr.toString()).to.equal(multiaddr(addr).toString())

      const echoed = once(connection as any, 'message')
      connection.send(Uint8Array.from([1, 2, 3]))
      expect((await echoed)[0].data.subarray()).to.equalBytes(Uint8Array.from([1, 2, 3]))

      await connection.close()
    })
  })
})
