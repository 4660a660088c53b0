import { once } from 'node:events'
import net from 'node:net'
import { expect } from 'aegir/chai'
import { findBoundSocket } from '../../src/port-reuse/bound-socket.ts'
import { findTCPHandle } from '../../src/port-reuse/tcp-handle.ts'
import { startServer } from '../fixtures/server.ts'
import type { Bind } from '../../src/port-reuse/bind.ts'

const FOUND = Object.entries({ 'net.BoundSocket': findBoundSocket(), 'the TCP handle': findTCPHandle() })

it('there is a way to bind on the versions of Node that this package supports', () => {
  expect(FOUND.filter(([, bind]) => bind != null)).to.not.be.empty()
})

FOUND.forEach(([name, bind]) => {
  // only new versions of Node have both
  if (bind != null) {
    describe(`binding by ${name}`, () => { bindsSockets(bind) })
  }
})

function bindsSockets (bind: Bind): void {
  for (const host of ['127.0.0.1', '::1']) {
    it(`knows its port at once, and dials from it (${host})`, async () => {
      const peer = await startServer(host)
      const bound = bind({ host, port: 0 }, { reusePort: false })
      const { port } = bound.local
      expect(port).to.be.greaterThan(0)

      const socket = bound.toSocket({}).connect({ host, port: peer.port })
      await once(socket, 'connect')
      expect((await peer.socket(0)).remotePort).to.equal(port)
      socket.write('hello')
      expect(`${(await once(socket, 'data'))[0]}`).to.equal('hello')

      socket.destroy()
      await peer.stop()
    })

    it(`listens at once (${host})`, async () => {
      const server = net.createServer()
      const bound = bind({ host, port: 0 }, { reusePort: false })
      bound.listen(server)

      const client = net.connect(bound.local.port, host)
      await once(client, 'connect')
      client.destroy()
      server.close()
    })
  }

  it('throws the system error at once', async () => {
    const server = await startServer()

    expect(() => bind({ host: '127.0.0.1', port: server.port }, { reusePort: false })).to.throw()
      .with.property('code', 'EADDRINUSE')
    expect(() => bind({ host: '255.1.2.3', port: 0 }, { reusePort: false })).to.throw()
      .with.property('code', 'EADDRNOTAVAIL')

    await server.stop()
  })

  it('is IPv6-only', () => {
    const six = bind({ host: '::', port: 0 }, { reusePort: false })
    const server = net.createServer()
    six.listen(server)

    // a socket for both families would be in the way
    bind({ host: '0.0.0.0', port: six.local.port }, { reusePort: false }).close()
    server.close()
  })
}
