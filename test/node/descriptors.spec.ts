import { once } from 'node:events'
import net from 'node:net'
import { expect } from 'aegir/chai'
import { closed, startServer } from '../fixtures/server.ts'
import { startOtherTransport } from '../fixtures/start-other-transport.ts'
import { LIMITS_DESCRIPTORS, REUSES_PORTS, where } from '../fixtures/system.ts'
import { until } from '../kit/wait.ts'
import type { OtherTransport } from '../fixtures/other-transport.ts'
import type { TestServer } from '../fixtures/server.ts'
import type { Script } from '../kit/processes.ts'

where(LIMITS_DESCRIPTORS).describe('a process that is out of descriptors', () => {
  let child: Script<OtherTransport>
  let server: TestServer

  beforeEach(async () => {
    server = await startServer()
    child = startOtherTransport({}, 64)
  })

  afterEach(async () => {
    await child.kill()
    await server.stop()
  })

  async function dial (): Promise<string> {
    return child.ask('dial', `/ip4/127.0.0.1/tcp/${server.port}`).then(async ({ rule }) => {
      await child.ask('hangUp')

      return rule
    }, err => err.code)
  }

  where(REUSES_PORTS).it('does not take that for a system on which ports can not be reused', async () => {
    await child.ask('fill')
    expect(await dial()).to.equal('EMFILE')

    await child.ask('free')
    await child.ask('listen', '/ip4/127.0.0.1/tcp/0')
    expect(await dial()).to.equal('loopback')
  })

  it('fails to listen with the error of the system, also where it has to look for its other listeners', async () => {
    const port = await child.ask('listen', '/ip4/127.0.0.1/tcp/0')
    await child.ask('fill')
    await expect(child.ask('listen', `/ip4/0.0.0.0/tcp/${port}`)).to.eventually.be.rejected().with.property('code', 'EMFILE')
  })

  where(REUSES_PORTS).it('looks again a while later, and not with each dial', async () => {
    await child.ask('fill')
    expect(await child.ask('portReuse')).to.have.property('why').that.includes('EMFILE')
    expect(await child.ask('remembersPortReuse')).to.equal(true)

    await child.ask('free')
    await until(async () => (await child.ask('portReuse')).available)
  })

  async function untilAccepted (count: number): Promise<void> {
    await until(async () => await child.ask('accepted') === count)
  }

  where(REUSES_PORTS).it('fails to dial with the error of the system, refuses who connects, and recovers', async () => {
    const port = await child.ask('listen', '/ip4/127.0.0.1/tcp/0')
    expect(await dial()).to.equal('loopback')

    for (let round = 1; round <= 3; round++) {
      await child.ask('fill')
      expect(await dial()).to.equal('EMFILE')
      expect(await dial()).to.equal('EMFILE')

      const refused = net.connect(port, '127.0.0.1')
      refused.on('error', () => {})
      refused.resume()
      await closed(refused)

      await child.ask('free')
      expect(await dial()).to.equal('loopback')

      const accepted = net.connect(port, '127.0.0.1')
      await once(accepted, 'connect')

      // the message is on its way through another channel than the connection
      await untilAccepted(round)
      accepted.destroy()
    }
  })
})
