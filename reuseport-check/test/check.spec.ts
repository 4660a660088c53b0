import { setTimeout as delay } from 'node:timers/promises'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { check } from '../src/check.ts'
import { startSilentServer } from './server.ts'

describe('the check of reuseport-check', () => {
  const options = { addresses: [], publicPeers: false, port: 0, timeout: 5_000, winsock: false, signal: new AbortController().signal, show: () => {} }

  /** How many sockets this process has, listening ones included */
  function sockets (): number {
    return process.getActiveResourcesInfo().filter(resource => resource.startsWith('TCP')).length
  }

  /** Those of earlier tests may close as well */
  async function expectAtMost (expected: number): Promise<void> {
    for (let i = 0; i < 100 && sockets() > expected; i++) {
      await delay(10)
    }

    expect(sockets()).to.be.at.most(expected)
  }

  it('stops the nodes that it started, and closes their connections', async () => {
    const before = sockets()
    const { peers } = await check(options)

    expect(peers.every(({ reached }) => reached)).to.be.true()
    await expectAtMost(before)
  })

  it('stops them as well when it is aborted, with the reason', async () => {
    const server = await startSilentServer()
    const before = sockets()
    const reason = new Error('That is enough')
    const controller = new AbortController()
    const checked = check({ ...options, addresses: [multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`)], signal: controller.signal })

    await Promise.all([
      expect(checked).to.eventually.be.rejected().and.equal(reason),
      server.connected.then(() => { controller.abort(reason) })
    ])

    server.sockets.forEach(socket => { socket.destroy() })
    await expectAtMost(before)
    await server.stop()
  })

  it('says what it is doing', async () => {
    const steps: string[] = []
    await check({ ...options, addresses: ['/ip4/127.0.0.1/tcp/1', '/ip4/127.0.0.1/tcp/2'].map(address => multiaddr(address)), show: step => { steps.push(step) } })

    expect(steps).to.deep.equal(['starting', '1/2 dialing /ip4/127.0.0.1/tcp/1', '2/2 dialing /ip4/127.0.0.1/tcp/2', 'closing'])
  })
})
