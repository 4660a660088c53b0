import dns from 'node:dns/promises'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import pDefer from 'p-defer'
import { Dials } from '../fixtures/dials.ts'
import { runInNamespace } from '../fixtures/namespace.ts'
import { startServer } from '../fixtures/server.ts'
import { HAS_MORE_LOOPBACK, REUSES_PORTS, where } from '../fixtures/system.ts'
import { portOf } from '../kit/addresses.ts'
import { createTransport, rawUpgrader } from '../kit/transport.ts'

describe('dialer', () => {
  const dials = new Dials()

  where(REUSES_PORTS).describe('source port', () => {
    it('is ephemeral without a listener', async () => {
      const { source } = await dials.local.connect(`/ip4/127.0.0.1/tcp/${dials.server.port}`)

      expect(source).to.include({ kind: 'ephemeral', why: 'no_listener' })
      expect(source).to.have.property('message').that.includes('no listener on IPv4')
    })

    /** What is listened on, what is dialed, and which listener's port is seen. An ephemeral one if none is */
    const SEEN: Array<[listening: string[], host: string, seen?: number]> = [
      [['/ip4/127.0.0.1'], '/ip4/127.0.0.1', 0],
      [['/ip6/::1'], '/ip6/::1', 0],
      [['/ip4/0.0.0.0', '/ip4/127.0.0.1'], '/ip4/127.0.0.1', 1],
      [['/ip6/::1', '/ip6/::', '/ip4/0.0.0.0'], '/ip4/127.0.0.1', 2],
      [['/ip6/::'], '/ip4/127.0.0.1'],
      // an IPv4-mapped address is an IPv4 address
      [['/ip4/127.0.0.1'], '/ip6/::ffff:127.0.0.1', 0],
      [['/ip6/::ffff:127.0.0.1'], '/ip4/127.0.0.1', 0],
      // the zone of a loopback address means nothing
      [['/ip6zone/lo/ip6/::1'], '/ip6/::1', 0],
      [['/ip6/::1'], '/ip6zone/lo/ip6/::1', 0],
      // the unspecified address is dialed as the loopback address
      [['/ip4/127.0.0.1'], '/ip4/0.0.0.0', 0],
      [['/ip4/127.0.0.1'], '/ip6/::ffff:0.0.0.0', 0],
      [['/ip6/::1'], '/ip6/::', 0]
    ]

    SEEN.forEach(([listening, host, seen]) => {
      it(`to ${host} is ${seen == null ? 'ephemeral' : `that of ${listening[seen]}`}, with listeners on ${listening.join(', ')}`, async () => {
        const ports: number[] = []

        for (const address of listening) {
          ports.push((await dials.local.listen(`${address}/tcp/0`)).port)
        }

        expect(ports.indexOf(await dials.dialServer(/::1?$/.test(host) ? dials.server6 : dials.server, host))).to.equal(seen ?? -1)
      })
    })

    it('is that of either of two loopback listeners', async () => {
      const listeners = [await dials.local.listen('/ip4/127.0.0.1/tcp/0'), await dials.local.listen('/ip4/127.0.0.1/tcp/0')]
      const ports = new Set<number>()

      // two listeners, two 4-tuples
      ports.add(await dials.dialServer())
      ports.add(await dials.dialServer())

      expect([...ports]).to.have.members(listeners.map(({ port }) => port))
    })

    where(HAS_MORE_LOOPBACK).it('is on the address that the peer sees, also to another loopback address', async () => {
      await dials.local.listen('/ip4/127.0.0.1/tcp/0')
      const other = await dials.startServer('127.0.0.2')

      const { connection } = await dials.local.connect(`/ip4/127.0.0.2/tcp/${other.port}`)
      const { remoteAddress, remotePort } = await other.socket(0)
      expect(connection.localAddr?.toString()).to.equal(`/ip4/${remoteAddress}/tcp/${remotePort}`)
    })

    it('does not change the address that the connection has as remote', async () => {
      for (const host of ['/ip4/0.0.0.0', '/ip6/::ffff:7f00:1', '/dns4/localhost']) {
        const { connection } = await dials.local.connect(`${host}/tcp/${dials.server.port}`)

        expect(connection.remoteAddr.toString()).to.equal(`${host}/tcp/${dials.server.port}`)
      }
    })

    it('is not that of a closed listener', async () => {
      const { listener, port } = await dials.local.listen('/ip4/127.0.0.1/tcp/0')
      const { port: other } = await dials.local.listen('/ip4/0.0.0.0/tcp/0')
      await listener.close()

      const seen = await dials.dialServer()
      expect(seen).to.equal(other)
      expect(seen).to.not.equal(port)
    })

    it('is the same for many peers', async () => {
      const { port } = await dials.local.listen('/ip4/0.0.0.0/tcp/0')
      const servers = await Promise.all(Array.from({ length: 20 }, async () => startServer()))
      dials.cleanup.push(...servers.map(server => async () => server.stop()))

      const ports = await Promise.all(servers.map(async server => dials.dialServer(server)))
      expect(new Set(ports)).to.deep.equal(new Set([port]))
    })

    it('is that of a listener that is still starting', async () => {
      const listening = dials.local.listen('/ip4/127.0.0.1/tcp/0')
      const seen = await dials.dialServer()

      expect(seen).to.equal((await listening).port)
    })

    it('is ephemeral while the only listener looks its name up, and then that of the listener', async () => {
      const answer = pDefer<void>()
      const { lookup } = dns
      dns.lookup = (async (...args: Parameters<typeof lookup>) => {
        await answer.promise
        return lookup(...args)
      }) as typeof dns.lookup

      const listening = dials.local.listen('/dns4/localhost/tcp/0')
      const { source } = await dials.local.connect(`/ip4/127.0.0.1/tcp/${dials.server.port}`)
      expect(source).to.have.property('kind', 'ephemeral')

      answer.resolve()
      const { port } = await listening
      const another = await dials.startServer()
      expect(await dials.dialServer(another)).to.equal(port)
    })

    it('is that of a listener that is about to be bound', async () => {
      const { transport, listener, listening, bind } = dials.startListening('/ip4/127.0.0.1/tcp/0')
      const dialing = transport.connect(multiaddr(`/ip4/127.0.0.1/tcp/${dials.server.port}`))
      const other = await transport.connect(multiaddr(`/ip4/127.0.0.1/tcp/${dials.server.port}`), { reusePort: false })
      dials.cleanup.push(() => { other.abort(new Error('The test is over')) })
      await dials.server.socket(0)
      // the dial that began later has arrived
      expect(dials.server.ports).to.deep.equal([portOf(other.localAddr)])

      bind()
      await listening
      const connection = await dialing
      dials.cleanup.push(() => { connection.abort(new Error('The test is over')) })
      expect(portOf(connection.localAddr)).to.equal(portOf(listener))
    })

    it('is that of the first listener to be bound, whatever another one waits for', async () => {
      const { transport, listener: stuck, listening, bind } = dials.startListening('/ip4/127.0.0.1/tcp/0')
      const dialing = transport.connect(multiaddr(`/ip4/127.0.0.1/tcp/${dials.server.port}`))
      const second = transport.createListener({ upgrader: rawUpgrader() })
      const secondListening = second.listen(multiaddr('/ip4/127.0.0.1/tcp/0'))
      dials.cleanup.push(async () => second.close())

      bind()
      await secondListening
      const connection = await dialing
      expect(portOf(connection.localAddr)).to.equal(portOf(second))
      connection.abort(new Error('seen'))

      await stuck.close()
      await expect(listening).to.eventually.be.rejected().with.property('name', 'AbortError')
    })

    it('does not wait for a listener of the other family', async () => {
      const { transport, listener, listening } = dials.startListening('/ip6/::1/tcp/0')
      const connection = await transport.connect(multiaddr(`/ip4/127.0.0.1/tcp/${dials.server.port}`))
      connection.abort(new Error('seen'))

      await listener.close()
      await expect(listening).to.eventually.be.rejected().with.property('name', 'AbortError')
    })

    it('is ephemeral when reuse is turned off for the dial', async () => {
      const { port } = await dials.local.listen('/ip4/127.0.0.1/tcp/0')
      const { source } = await dials.local.connect(`/ip4/127.0.0.1/tcp/${dials.server.port}`, { reusePort: false })

      expect(source).to.include({ kind: 'ephemeral', message: 'port reuse is turned off for this dial' })
      expect((await dials.server.socket(0)).remotePort).to.not.equal(port)
    })

    it('is ephemeral when reuse is turned off for the transport, unless the dial asks for it', async () => {
      const other = dials.createTransport({ reusePort: false })
      const { port } = await other.listen('/ip4/127.0.0.1/tcp/0')

      const { source } = await other.connect(`/ip4/127.0.0.1/tcp/${dials.server.port}`)
      expect(source).to.include({ kind: 'ephemeral', message: 'port reuse is turned off by the option reusePort' })
      expect((await dials.server.socket(0)).remotePort).to.not.equal(port)

      await other.connect(`/ip4/127.0.0.1/tcp/${dials.server.port}`, { reusePort: true })
      expect((await dials.server.socket(1)).remotePort).to.equal(port)
    })

    it('is ephemeral when the environment turns reuse off', async () => {
      process.env.LIBP2P_TCP_REUSEPORT = 'false'
      dials.cleanup.push(() => { delete process.env.LIBP2P_TCP_REUSEPORT })
      const other = dials.createTransport({ reusePort: true })
      const { port } = await other.listen('/ip4/127.0.0.1/tcp/0')

      await other.connect(`/ip4/127.0.0.1/tcp/${dials.server.port}`, { reusePort: true })
      expect((await dials.server.socket(0)).remotePort).to.not.equal(port)
      await expect(other.connect(`/ip4/127.0.0.1/tcp/${dials.server.port}`, { reusePort: 'require' })).to.eventually.be.rejected()
        .with.property('name', 'DialError')
    })

    it('is never that of another transport', async () => {
      const other = dials.createTransport()
      const { port } = await other.listen('/ip4/127.0.0.1/tcp/0')

      expect(await dials.dialServer()).to.not.equal(port)
    })
  })

  describe('many transports in one process', () => {
    where(REUSES_PORTS).it('each dial from their own port', async () => {
      const transports = Array.from({ length: 10 }, () => createTransport())
      dials.cleanup.push(...transports.map(transport => async () => transport.stop()))
      const ports = await Promise.all(transports.map(async ({ listen }) => (await listen('/ip4/0.0.0.0/tcp/0')).port))

      for (let i = 0; i < transports.length; i++) {
        await transports[i].connect(`/ip4/127.0.0.1/tcp/${dials.server.port}`)
        await dials.server.socket(i)
      }

      expect(dials.server.ports).to.deep.equal(ports)
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
        const { port } = await dials.local.listen(`${addr}/tcp/0`, rawUpgrader(connection => { inbound.resolve(connection.remoteAddr.toString()) }))

        const { connection, source } = await dials.local.connect(`${host}/tcp/${port}`)
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
})
