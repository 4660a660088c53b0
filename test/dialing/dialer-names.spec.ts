import dns from 'node:dns/promises'
import { expect } from 'aegir/chai'
import { Dials } from '../fixtures/dials.ts'
import { freePort } from '../fixtures/free-port.ts'
import { startBlackhole, startServer } from '../fixtures/server.ts'
import { REUSES_PORTS, where } from '../fixtures/system.ts'

describe('dialer: names', () => {
  const dials = new Dials()

  where(REUSES_PORTS).it('are resolved by the system', async () => {
    const { port } = await dials.local.listen('/ip4/127.0.0.1/tcp/0')
    const another = await dials.startServer()

    expect(await dials.dialServer(dials.server, '/dns4/localhost')).to.equal(port)
    expect(await dials.dialServer(another, '/dns/localhost')).to.equal(port)
  })

  function resolveTo (...addresses: string[]): void {
    dns.lookup = (async () => addresses.map(address => ({ address, family: address.includes(':') ? 6 : 4 }))) as unknown as typeof dns.lookup
  }

  where(REUSES_PORTS).it('are dialed as what they resolve to is dialed itself', async () => {
    const { port } = await dials.local.listen('/ip4/127.0.0.1/tcp/0')
    const { port: port6 } = await dials.local.listen('/ip6/::1/tcp/0')

    // the unspecified address is what DNS blockers answer
    for (const address of ['::ffff:127.0.0.1', '::ffff:7f00:1', '0.0.0.0']) {
      const peer = await dials.startServer()
      resolveTo(address)
      expect(await dials.dialServer(peer, '/dns/somewhere.test'), address).to.equal(port)
    }

    resolveTo('::')
    expect(await dials.dialServer(dials.server6, '/dns6/somewhere.test')).to.equal(port6)
  })

  where(REUSES_PORTS).it('race both families when the first does not answer, each from its own source', async () => {
    const blackhole = await startBlackhole('::1')
    const answers = await startServer('127.0.0.1', blackhole.port)
    dials.cleanup.push(async () => blackhole.stop(), async () => answers.stop())
    await dials.local.listen('/ip6/::1/tcp/0')
    const { port } = await dials.local.listen('/ip4/127.0.0.1/tcp/0')
    resolveTo('::1', '127.0.0.1')

    expect(await dials.dialServer(answers, '/dns/two-families.test')).to.equal(port)
  })

  where(REUSES_PORTS).it('try the other family at once when the first one refuses', async () => {
    const { port } = await dials.local.listen('/ip4/127.0.0.1/tcp/0')
    resolveTo('::1', '127.0.0.1')

    expect(await dials.dialServer(dials.server, '/dns/two-families.test')).to.equal(port)
  })

  it('fail with all reasons when no address answers', async () => {
    resolveTo('::1', '127.0.0.1')

    const err = await dials.local.connect(`/dns/two-families.test/tcp/${await freePort()}`).then(() => undefined, err => err)
    expect(err).to.have.property('code', 'ECONNREFUSED')
    expect(err).to.have.property('errors').with.lengthOf(2)
  })
})
