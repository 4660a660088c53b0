import { once } from 'node:events'
import net from 'node:net'
import { expect } from 'aegir/chai'
import { bindSocket, portReuse, reuseUnavailable } from '../../src/port-reuse/bound-socket.ts'
import { startServer } from '../fixtures/server.ts'
import type { Socket } from 'node:net'

describe('bound-socket', () => {
  it('can be had on the Node versions that this package supports', () => {
    expect(reuseUnavailable()).to.equal(undefined)
    expect(portReuse().name).to.be.oneOf(['net.BoundSocket', 'TCP handle in net.Socket'])
  })

  for (const host of ['127.0.0.1', '::1']) {
    it(`knows its port at once, and dials from the port that another one listens on (${host})`, async () => {
      const peer = await startServer(host)
      const server = net.createServer()
      const bound = bindSocket({ host, port: 0 }, { reusePort: true })
      const { port } = bound.local
      expect(port).to.be.greaterThan(0)

      bound.listen(server)
      await once(server, 'listening')

      const socket = bindSocket({ host, port }, { reusePort: true }).connect({ host, port: peer.port }, {})
      await once(socket, 'connect')
      expect((await peer.socket(0)).remotePort).to.equal(port)

      // data flows both ways
      socket.write('hello')
      expect(`${(await once(socket, 'data'))[0]}`).to.equal('hello')

      // and the listener still accepts
      const inbound = once(server, 'connection') as Promise<Socket[]>
      const client = net.connect(port, host)
      const [accepted] = await inbound
      expect(accepted.localPort).to.equal(port)

      for (const each of [socket, accepted, client]) {
        each.destroy()
      }

      server.close()
      await peer.stop()
    })
  }

  it('throws the system error at once', async () => {
    const server = await startServer()

    for (const reusePort of [true, false]) {
      expect(() => bindSocket({ host: '127.0.0.1', port: server.port }, { reusePort })).to.throw()
        .with.property('code', 'EADDRINUSE')
    }

    expect(() => bindSocket({ host: '255.1.2.3', port: 0 }, { reusePort: true })).to.throw()
      .with.property('code', 'EADDRNOTAVAIL')

    await server.stop()
  })

  it('is IPv6-only', () => {
    const six = bindSocket({ host: '::', port: 0 }, { reusePort: true })
    const server = net.createServer()
    six.listen(server)

    // a socket for both families would be in the way
    bindSocket({ host: '0.0.0.0', port: six.local.port }, { reusePort: false }).close()
    server.close()
  })
})
