import dns from 'node:dns/promises'
import { once } from 'node:events'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { Dials } from '../fixtures/dials.ts'
import { freePort } from '../fixtures/free-port.ts'
import { startBlackhole, startResettingPeer, untilReset } from '../fixtures/server.ts'
import { RESETS_FAIL_CONNECT, REUSES_PORTS, where } from '../fixtures/system.ts'
import { until } from '../kit/wait.ts'

describe('dialer', () => {
  const dials = new Dials()

  describe('errors', () => {
    where(RESETS_FAIL_CONNECT).it('of a peer that resets what it has accepted are no refusal of the port, and not checked from another one', async () => {
      const { peer, port } = await startResettingPeer()
      dials.cleanup.push(async () => peer.terminate())
      await dials.local.listen('/ip4/127.0.0.1/tcp/0')
      const outcome = dials.local.connect(`/ip4/127.0.0.1/tcp/${port}`).catch(err => err)
      await untilReset()

      expect(await outcome).to.have.property('code', 'ECONNRESET')
      peer.postMessage('how many?')
      expect(await once(peer, 'message')).to.deep.equal([1])
    })

    where(REUSES_PORTS).it('that the network gave are the result when an ephemeral port is refused as well, without a look at other listeners', async () => {
      const port = await freePort()
      await dials.local.listen('/ip4/127.0.0.1/tcp/0')
      await dials.local.listen('/ip4/0.0.0.0/tcp/0')
      const sockets = dials.countSockets()

      await expect(dials.local.connect(`/ip4/127.0.0.1/tcp/${port}`)).to.eventually.be.rejected()
        .with.property('code', 'ECONNREFUSED')
      expect(sockets.opened).to.equal(2)
    })

    it('name what can not be dialed, and nothing is opened', async () => {
      const sockets = dials.countSockets()

      for (const addr of [
        '/ip4/127.0.0.1/udp/4001', '/ip4/127.0.0.1/tcp/4001/ws', '/ip4/127.0.0.1', '/ip4/127.0.0.1/tcp/0', '/dns4/localhost/tcp/0',
        '/dnsaddr/localhost/tcp/4001'
      ]) {
        await expect(dials.local.transport.connect(multiaddr(addr)), addr).to.eventually.be.rejected()
          .with.property('name', 'InvalidParametersError')
        await expect(dials.local.transport.connect(multiaddr(addr))).to.eventually.be.rejected()
          .with.property('message').that.include(multiaddr(addr).toString())
      }

      expect(sockets.opened).to.equal(0)
    })

    it('name a host that does not exist', async () => {
      dns.lookup = (async () => { throw Object.assign(new Error('getaddrinfo ENOTFOUND nobody.invalid'), { code: 'ENOTFOUND' }) }) as typeof dns.lookup

      await expect(dials.local.connect(`/dns4/nobody.invalid/tcp/${dials.server.port}`)).to.eventually.be.rejected()
        .with.property('code', 'ENOTFOUND')
    })
  })

  describe('an abort', () => {
    function openSockets (): number {
      return process.getActiveResourcesInfo().filter(name => /TCP|UDP/.test(name)).length
    }

    it('before the dial opens nothing', async () => {
      const sockets = dials.countSockets()

      await expect(dials.local.connect(`/ip4/127.0.0.1/tcp/${dials.server.port}`, { signal: AbortSignal.abort() })).to.eventually.be.rejected()
        .with.property('name', 'AbortError')
      expect(sockets.opened).to.equal(0)
    })

    it('while a name is resolved ends the dial', async () => {
      dns.lookup = (async () => new Promise(() => {})) as unknown as typeof dns.lookup

      await expect(dials.local.connect(`/dns4/slow.test/tcp/${dials.server.port}`, { signal: AbortSignal.timeout(20) })).to.eventually.be.rejected()
        .with.property('name', 'AbortError')
    })

    where(REUSES_PORTS).it('while a listener is starting ends the dial', async () => {
      const { transport, listener, listening } = dials.startListening('/ip4/127.0.0.1/tcp/0')

      await expect(transport.connect(multiaddr(`/ip4/127.0.0.1/tcp/${dials.server.port}`), { signal: AbortSignal.timeout(20) })).to.eventually.be.rejected()
        .with.property('name', 'AbortError')

      await listener.close()
      await expect(listening).to.eventually.be.rejected().with.property('name', 'AbortError')
    })

    it('while connecting leaves nothing open', async () => {
      const blackhole = await startBlackhole()
      dials.cleanup.push(async () => blackhole.stop())
      await dials.local.listen('/ip4/127.0.0.1/tcp/0')
      const before = openSockets()
      const controller = new AbortController()

      const dialing = dials.local.connect(`/ip4/127.0.0.1/tcp/${blackhole.port}`, { signal: controller.signal })
      await until(() => openSockets() === before + 1)

      controller.abort()
      await expect(dialing).to.eventually.be.rejected().with.property('name', 'AbortError')
      await until(() => openSockets() === before)
    })
  })
})
