import { once } from 'node:events'
import net from 'node:net'
import { expect } from 'aegir/chai'
import { startChild } from '../fixtures/child.ts'
import { closed, startServer } from '../fixtures/server.ts'
import type { Child } from '../fixtures/child.ts'
import type { TestServer } from '../fixtures/server.ts'

describe('a process that is out of descriptors', () => {
  let child: Child
  let server: TestServer

  before(function () {
    if (process.platform === 'win32') {
      // there is no limit to set
      this.skip()
    }
  })

  beforeEach(async () => {
    server = await startServer()
  })

  afterEach(async () => {
    await child.kill()
    await server.stop()
  })

  async function start (...args: string[]): Promise<void> {
    child = startChild('out-of-descriptors.ts', args, 64)
    await child.message()
  }

  it('does not take that for a system on which ports can not be reused', async () => {
    const address = `/ip4/127.0.0.1/tcp/${server.port}`
    await start('full')

    expect(await child.ask(address)).to.equal('EMFILE')
    expect(await child.ask('free')).to.equal('freed')
    await child.ask('listen')
    expect(await child.ask(address)).to.equal('loopback')
  })

  it('fails to dial with the error of the system, refuses who connects, and recovers', async () => {
    const address = `/ip4/127.0.0.1/tcp/${server.port}`
    await start()
    const port = await child.ask('listen')
    expect(await child.ask(address)).to.equal('loopback')

    for (let round = 1; round <= 3; round++) {
      expect(await child.ask('fill')).to.equal('filled')
      expect(await child.ask(address)).to.equal('EMFILE')
      expect(await child.ask(address)).to.equal('EMFILE')

      const refused = net.connect(port, '127.0.0.1')
      refused.on('error', () => {})
      refused.resume()
      await closed(refused)

      expect(await child.ask('free')).to.equal('freed')
      expect(await child.ask(address)).to.equal('loopback')

      const accepted = net.connect(port, '127.0.0.1')
      await once(accepted, 'connect')

      // the message is on its way through another channel than the connection
      await new Promise(resolve => setTimeout(resolve, 50))
      expect(await child.ask('inbound')).to.equal(round)
      accepted.destroy()
    }
  })
})
