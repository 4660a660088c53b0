import { once } from 'node:events'
import net from 'node:net'
import { expect } from 'aegir/chai'
import { freePort } from '../fixtures/free-port.ts'
import { startServer } from '../fixtures/server.ts'
import type { Endpoint } from '../../src/endpoint.ts'
import type { Strategy } from '../../src/port-reuse/port-reuse.ts'
import type { AddressInfo, Socket } from 'node:net'

/** Where a strategy listens, and a destination that can be dialed from there */
const LISTENING = [['127.0.0.1', '127.0.0.1'], ['::1', '::1'], ['0.0.0.0', '127.0.0.1'], ['::', '::1']]

interface Listening {
  server: net.Server
  local: Endpoint
}

/** Listens, and checks that the strategy says where, or leaves it to the server */
async function listen (strategy: Strategy, { host, port }: Endpoint, sharePort = false): Promise<Listening> {
  const server = net.createServer()
  const listening = once(server, 'listening')
  const bound = strategy.listen(server, { host, port }, { backlog: 511, sharePort, isOurs: () => false })
  await listening
  const address = server.address() as AddressInfo

  if (bound != null) {
    expect(bound).to.deep.equal({ host, port: address.port })
  }

  return { server, local: { host, port: address.port } }
}

/** The error of a dial, whether it is thrown or arrives as an event */
async function failureOf (dial: () => Socket | Promise<Socket>): Promise<any> {
  try {
    const socket = await dial()
    const [err] = await once(socket, 'error')

    return err
  } catch (err) {
    return err
  }
}

/** What every strategy does for a listener */
export function listens (strategy: Strategy): void {
  for (const [host, destination] of LISTENING) {
    it(`listens at ${host}, on a port that the kernel chooses`, async () => {
      const { server, local } = await listen(strategy, { host, port: 0 })
      expect(local.port).to.be.greaterThan(0)

      const inbound = net.connect(local.port, destination)
      const [accepted] = await once(server, 'connection') as Socket[]
      expect(accepted.localPort).to.equal(local.port)

      inbound.destroy()
      accepted.destroy()
      server.close()
    })
  }

  it('listens on the port that it is told, also if others may share it', async () => {
    for (const sharePort of [false, true]) {
      const port = await freePort()
      const { server, local } = await listen(strategy, { host: '127.0.0.1', port }, sharePort)

      expect(local.port).to.equal(port)
      server.close()
    }
  })

  it('listens beside the other address family', async () => {
    const port = await freePort()
    const six = await listen(strategy, { host: '::', port })
    const four = await listen(strategy, { host: '0.0.0.0', port })

    four.server.close()
    six.server.close()
  })

  it('does not listen where somebody else does, by the same strategy or as usual, and says so', async () => {
    const usual = await startServer()
    const same = await listen(strategy, { host: '127.0.0.1', port: 0 })

    for (const port of [usual.port, same.local.port]) {
      const server = net.createServer()
      const failure = once(server, 'error').then(([err]) => err)
      let thrown: any

      try {
        strategy.listen(server, { host: '127.0.0.1', port }, { backlog: 511, sharePort: false, isOurs: () => false })
      } catch (err) {
        thrown = err
      }

      expect(thrown ?? await failure).to.have.property('code', 'EADDRINUSE')
    }

    same.server.close()
    await usual.stop()
  })
}

/** What every strategy does for a dial, if ports can be reused */
export function dialsFromListeningPorts (strategy: Strategy): void {
  for (const [host, destination] of LISTENING) {
    it(`dials from the port that is listened on at ${host}, several times at once, and the listener goes on accepting`, async () => {
      const peers = await Promise.all([1, 2, 3].map(async () => startServer(destination)))
      const { server, local } = await listen(strategy, { host, port: 0 })

      const sockets = await Promise.all(peers.map(async peer => strategy.connect(local, { host: destination, port: peer.port }, {})))
      await Promise.all(sockets.map(async socket => once(socket, 'connect')))

      for (const peer of peers) {
        expect((await peer.socket(0)).remotePort).to.equal(local.port)
      }

      const inbound = net.connect(local.port, destination)
      const [accepted] = await once(server, 'connection') as Socket[]
      expect(accepted.localPort).to.equal(local.port)

      ;[...sockets, inbound, accepted].forEach(socket => { socket.destroy() })
      server.close()
      await Promise.all(peers.map(async peer => peer.stop()))
    })

    it(`says that a connection from the port at ${host} exists already, and leaves it as it is`, async () => {
      const peer = await startServer(destination)
      const { server, local } = await listen(strategy, { host, port: 0 })
      const dial = (): Socket | Promise<Socket> => strategy.connect(local, { host: destination, port: peer.port }, {})
      const first = await dial()
      await once(first, 'connect')

      // Linux and BSD name it differently
      expect(await failureOf(dial)).to.have.property('code').that.is.oneOf(['EADDRINUSE', 'EADDRNOTAVAIL'])
      first.write('still here')
      expect(`${(await once(first, 'data'))[0]}`).to.equal('still here')

      first.destroy()
      server.close()
      await peer.stop()
    })
  }

  it('says what the network answers by an event', async () => {
    const { server, local } = await listen(strategy, { host: '127.0.0.1', port: 0 })
    const socket = await strategy.connect(local, { host: '127.0.0.1', port: await freePort() }, {})

    const [err] = await once(socket, 'error')
    expect(err).to.have.property('code', 'ECONNREFUSED')
    server.close()
  })

  it('gives the socket its options', async () => {
    const peer = await startServer('127.0.0.1', 0, socket => { socket.end() })
    const { server, local } = await listen(strategy, { host: '127.0.0.1', port: 0 })
    const socket = await strategy.connect(local, { host: '127.0.0.1', port: peer.port }, { allowHalfOpen: true })

    await once(socket.resume(), 'end')
    expect(socket.writable).to.equal(true)

    socket.destroy()
    server.close()
    await peer.stop()
  })
}
