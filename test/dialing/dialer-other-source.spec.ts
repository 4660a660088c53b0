import { once } from 'node:events'
import { expect } from 'aegir/chai'
import pDefer from 'p-defer'
import { Dials } from '../fixtures/dials.ts'
import { runInNamespace } from '../fixtures/namespace.ts'
import { startBlackhole, startServer } from '../fixtures/server.ts'
import { HAS_MORE_LOOPBACK, REDIALS_AT_ONCE, REUSES_PORTS, where } from '../fixtures/system.ts'
import { portReuse } from '../kit/port-reuse.ts'
import { rawUpgrader } from '../kit/transport.ts'
import { until } from '../kit/wait.ts'
import type { ConnectOptions, RawConnection, SourcePort } from '../../src/index.ts'
import type { TestTransport } from '../kit/transport.ts'
import type { MultiaddrConnection } from '@libp2p/interface'
import type { Socket } from 'node:net'

describe('dialer', () => {
  const dials = new Dials()

  where(REUSES_PORTS).describe('a source that can not be used', () => {
    it('gives way to the next candidate, then to an ephemeral port, when the 4-tuple is taken', async () => {
      const { port: loopback } = await dials.local.listen('/ip4/127.0.0.1/tcp/0')
      const { port: wildcard } = await dials.local.listen('/ip4/0.0.0.0/tcp/0')

      expect(await dials.dialServer()).to.equal(loopback)
      expect(await dials.dialServer()).to.equal(wildcard)
      expect(await dials.dialServer()).to.not.be.oneOf([loopback, wildcard])
    })

    /**
     * Dials and closes, as `close` does. Then somebody else holds the 4-tuple until it was
     * tried so often, as on loopback the kernel holds it for no time at all. Returns what comes
     * of dialing again
     */
    async function redialWhileHeld (close: (connection: RawConnection, peer: Socket) => unknown, tries: number): Promise<{ port: number, source: SourcePort, attempts: number }> {
      const { port } = await dials.local.listen('/ip4/127.0.0.1/tcp/0')
      const { connection } = await dials.local.connect(`/ip4/127.0.0.1/tcp/${dials.server.port}`)
      const closed = once(connection as any, 'close')
      close(connection, await dials.server.socket(0))
      await closed

      const held = await portReuse().connect({ host: '127.0.0.1', port }, { host: '127.0.0.1', port: dials.server.port }, {})
      // it fails if the kernel holds the 4-tuple already, which has the same effect
      await new Promise(resolve => held.once('connect', resolve).on('error', resolve))
      dials.cleanup.push(() => { held.destroy() })

      const sockets = dials.countSockets(opened => {
        if (opened === tries) {
          held.resetAndDestroy()
        }
      })
      const { source } = await dials.local.connect(`/ip4/127.0.0.1/tcp/${dials.server.port}`)

      return { port, source, attempts: sockets.opened }
    }

    it('is waited for when the peer has just closed its connection and the kernel still holds it', async () => {
      const { port, source } = await redialWhileHeld((_, peer) => peer.end(), 2)

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
      it(`is not waited for for long when we ${name} it, as it may be held for a minute`, async () => {
        const { source, attempts } = await redialWhileHeld(close, Infinity)

        expect(source).to.have.property('kind', 'ephemeral')
        // it is tried every 10 ms for a second otherwise
        expect(attempts).to.be.below(20)
      })
    })

    // without it, the peer can't make that connection again
    where(REDIALS_AT_ONCE).it('is not waited for when it is the peer who holds it again', async () => {
      const peer = dials.createTransport()
      const { port } = await dials.local.listen('/ip4/127.0.0.1/tcp/0')
      const accepted = pDefer<MultiaddrConnection>()
      const { port: peerPort } = await peer.listen('/ip4/127.0.0.1/tcp/0', rawUpgrader(connection => { accepted.resolve(connection) }))
      const { connection } = await dials.local.connect(`/ip4/127.0.0.1/tcp/${peerPort}`)
      const closed = once(connection as any, 'close')
      await (await accepted.promise).close()
      await closed
      await peer.connect(`/ip4/127.0.0.1/tcp/${port}`, { reusePort: 'require' })

      const sockets = dials.countSockets()
      const { source } = await dials.local.connect(`/ip4/127.0.0.1/tcp/${peerPort}`)
      expect(source).to.have.property('kind', 'ephemeral')
      // it is tried every 10 ms for a second otherwise
      expect(sockets.opened).to.be.below(10)
    })

    it('gives way when the peer holds the connection in the other direction', async () => {
      const peer = dials.createTransport()
      const { port } = await dials.local.listen('/ip4/127.0.0.1/tcp/0')
      const { port: peerPort } = await peer.listen('/ip4/127.0.0.1/tcp/0')

      const { source: there } = await dials.local.connect(`/ip4/127.0.0.1/tcp/${peerPort}`)
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
      dials.cleanup.push(async () => blackhole.stop())
      blackhole.releaseAfterSyn()

      return (await from.connect(`/ip4/${host}/tcp/${blackhole.port}`, options)).source
    }

    where(REUSES_PORTS && HAS_MORE_LOOPBACK).it('is what is dialed from, and not suspected, if no more than its first SYN was lost', async () => {
      const { port } = await dials.local.listen('/ip4/127.0.0.1/tcp/0')

      for (const host of ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4']) {
        const { localAddr } = await dialLosingFirstSyn(dials.local, host)
        expect(localAddr?.toString()).to.equal(`/ip4/127.0.0.1/tcp/${port}`)
      }
    })

    where(REUSES_PORTS && HAS_MORE_LOOPBACK).it('is trusted again as soon as one dial from it connects', async () => {
      const impatient = dials.createTransport({ reusePortTimeout: 500 })
      const { port } = await impatient.listen('/ip4/127.0.0.1/tcp/0')

      for (const host of ['127.0.0.1', '127.0.0.2']) {
        await dialLosingFirstSyn(impatient, host)
      }

      await impatient.connect(`/ip4/127.0.0.1/tcp/${dials.server.port}`)
      expect(dials.server.ports[0]).to.equal(port)

      await dialLosingFirstSyn(impatient, '127.0.0.3')
      const other = await dials.startServer()
      await impatient.connect(`/ip4/127.0.0.1/tcp/${other.port}`)
      expect(other.ports[0]).to.equal(port)
    })

    Object.entries<ConnectOptions>({
      'in a hole punch': { initiator: true },
      'if a listening port is required': { reusePort: 'require' }
    }).forEach(([when, options]) => {
      where(REUSES_PORTS).it(`has no rival ${when}`, async () => {
        const impatient = dials.createTransport({ reusePortTimeout: 500 })
        const { port } = await impatient.listen('/ip4/127.0.0.1/tcp/0')

        const source = await dialLosingFirstSyn(impatient, '127.0.0.1', options)
        expect(source).to.have.property('rule', 'loopback')
        expect(source.localAddr?.toString()).to.equal(`/ip4/127.0.0.1/tcp/${port}`)
      })
    })

    it('does not go on after the signal', async () => {
      const impatient = dials.createTransport({ reusePortTimeout: 50 })
      await impatient.listen('/ip4/127.0.0.1/tcp/0')
      const blackhole = await startBlackhole()
      dials.cleanup.push(async () => blackhole.stop())
      const sockets = (): number => process.getActiveResourcesInfo().filter(name => name.includes('TCP')).length
      const before = sockets()

      await expect(impatient.connect(`/ip4/127.0.0.1/tcp/${blackhole.port}`, { signal: AbortSignal.timeout(100) })).to.eventually.be.rejected()
        .with.property('name', 'AbortError')
      await until(() => sockets() === before)
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
      where(REUSES_PORTS).it(`is dialed from the listening port again, 1,000 times in a row, right after ${name}`, async () => {
        const { port } = await dials.local.listen('/ip4/127.0.0.1/tcp/0')
        const peer = await startServer('127.0.0.1', 0, socket => {
          socket.resume()
          socket.on('end', () => socket.end())
        })
        dials.cleanup.push(async () => peer.stop())

        for (let i = 0; i < 1000; i++) {
          const { connection } = await dials.local.connect(`/ip4/127.0.0.1/tcp/${peer.port}`)
          await end(connection, await peer.socket(i))
        }

        const others = peer.ports.filter(from => from !== port)
        // with BSD's rules, the 4-tuple that we closed first stays in TIME_WAIT
        expect(others).to.have.lengthOf(REDIALS_AT_ONCE || name !== 'we closed' ? 0 : 999)
      })
    })

    it('is dialed from the listening port again if both ends closed at the same time', async function () {
      // with BSD's rules, the 4-tuple stays in TIME_WAIT then
      expect(await runInNamespace(this, '', 'crossed-fins.ts')).to.equal(REDIALS_AT_ONCE ? 'loopback' : 'unusable')
    })
  })
})
