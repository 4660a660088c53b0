import { getEventListeners, once } from 'node:events'
import net from 'node:net'
import { expect } from 'aegir/chai'
import { firstConnected } from '../../src/dialing/first-connected.ts'
import { startBlackhole, startServer } from '../fixtures/server.ts'
import type { Blackhole, TestServer } from '../fixtures/server.ts'
import type { Socket } from 'node:net'

describe('first connected', () => {
  const controller = new AbortController()
  const sockets: Socket[] = []
  let server: TestServer
  let blackhole: Blackhole

  function connect (port: number): Socket {
    const socket = net.connect({ host: '127.0.0.1', port })
    sockets.push(socket)

    return socket
  }

  before(async () => {
    server = await startServer()
    blackhole = await startBlackhole()
  })

  after(async () => {
    await server.stop()
    await blackhole.stop()
  })

  afterEach(() => {
    expect(getEventListeners(controller.signal, 'abort')).to.be.empty()
    sockets.splice(0).forEach(socket => { socket.destroy() })
  })

  it('is the socket, if it connects in time', async () => {
    const socket = connect(server.port)

    expect(await firstConnected(socket, controller.signal, { after: 50, start: () => connect(server.port) })).to.equal(socket)
    // a timeout later on is none of a rival's business
    await new Promise(resolve => socket.once('timeout', resolve))
    expect(sockets).to.have.lengthOf(1)
  })

  Object.entries({ 'at once': 0, 'for a while': 20 }).forEach(([time, after]) => {
    it(`is the rival, if the socket gets no answer ${time}`, async () => {
      const socket = connect(blackhole.port)

      const connected = await firstConnected(socket, controller.signal, { after, start: () => connect(server.port) })
      expect(connected).to.equal(sockets.at(-1)).and.not.equal(socket)
      expect(connected.destroyed).to.equal(false)
      expect(socket.destroyed).to.equal(true)
    })
  })

  it('is the socket, if it is faster in the end', async () => {
    const socket = connect(blackhole.port)
    const racing = firstConnected(socket, controller.signal, {
      after: 20,
      start: () => {
        setTimeout(() => { socket.emit('connect') }, 20)
        return connect(blackhole.port)
      }
    })

    expect(await racing).to.equal(socket)
    expect(socket.destroyed).to.equal(false)
    expect(sockets[1].destroyed).to.equal(true)
  })

  it('is the socket, if its second SYN is answered a moment after the rival', async () => {
    const other = await startBlackhole()
    const socket = connect(other.port)
    // the kernel sends the next one after 1,000 ms
    setTimeout(other.release, 100)

    const racing = firstConnected(socket, controller.signal, {
      after: 700,
      start: () => {
        const rival = new net.Socket()
        sockets.push(rival)
        // it takes 250 ms, so that much is waited for the socket
        setTimeout(() => { rival.connect(server.port, '127.0.0.1') }, 250)

        return rival
      }
    })

    expect(await racing).to.equal(socket)
    expect(sockets[1].connecting).to.equal(false)
    expect(sockets[1].destroyed).to.equal(true)
    await other.stop()
  })

  it('is the rival at once, if the socket fails when the rival is connected', async () => {
    const socket = connect(blackhole.port)
    const order: string[] = []
    const racing = firstConnected(socket, controller.signal, {
      after: 20,
      start: () => {
        const rival = new net.Socket()
        sockets.push(rival)
        setTimeout(() => { rival.connect(server.port, '127.0.0.1') }, 800)
        rival.once('connect', () => {
          setImmediate(() => socket.destroy(new Error('no')))
          // sooner than the 800 ms that would be waited for the socket
          setTimeout(() => { order.push('a while later') }, 400)
        })

        return rival
      }
    })

    expect(await racing).to.equal(sockets[1])
    expect(order).to.be.empty()
  })

  it('loses nothing that is sent to the rival before it has won', async () => {
    const greeter = await startServer('127.0.0.1', 0, socket => { socket.end('welcome') })
    const connected = await firstConnected(connect(blackhole.port), controller.signal, { after: 20, start: () => connect(greeter.port) })
    const received = once(connected, 'data')

    connected.resume()
    expect(`${(await received)[0]}`).to.equal('welcome')
    await greeter.stop()
  })

  it('fails with the socket, if there is no rival yet', async () => {
    const closed = await startServer()
    await closed.stop()

    await expect(firstConnected(connect(closed.port), controller.signal, { after: 10_000, start: () => connect(server.port) })).to.eventually.be.rejected()
      .with.property('code', 'ECONNREFUSED')
    expect(sockets).to.have.lengthOf(1)
  })

  it('is the rival, if the socket fails after the rival was started', async () => {
    const socket = connect(blackhole.port)
    const start = (): Socket => {
      socket.destroy(new Error('no'))
      return connect(server.port)
    }

    expect(await firstConnected(socket, controller.signal, { after: 20, start })).to.equal(sockets[1])
  })

  it('fails with the code of the first failure, if both fail', async () => {
    const closed = await startServer()
    await closed.stop()
    const socket = connect(blackhole.port)
    const start = (): Socket => {
      socket.destroy(Object.assign(new Error('no'), { code: 'EHOSTUNREACH' }))
      return connect(closed.port)
    }

    const err = await firstConnected(socket, controller.signal, { after: 20, start }).then(() => undefined, err => err)
    expect(err).to.have.property('name', 'AggregateError')
    expect(err.errors).to.have.lengthOf(2)
    expect(err.code).to.equal('EHOSTUNREACH')
  })

  it('ends with a signal that has aborted before, and nobody hears of a failure after that', async () => {
    const unhandled: unknown[] = []
    const onUnhandled = (reason: unknown): void => { unhandled.push(reason) }
    process.on('unhandledRejection', onUnhandled)
    const socket = new net.Socket()
    socket.destroy(new Error('connect(2) has failed at once'))

    await expect(firstConnected(socket, AbortSignal.abort())).to.eventually.be.rejected().with.property('name', 'AbortError')
    await new Promise(resolve => setTimeout(resolve, 10))
    process.off('unhandledRejection', onUnhandled)
    expect(unhandled).to.be.empty()
  })

  it('ends with the signal', async () => {
    const own = new AbortController()
    const racing = firstConnected(connect(blackhole.port), own.signal, {
      after: 20,
      start: () => {
        setTimeout(() => { own.abort(new Error('enough')) })
        return connect(blackhole.port)
      }
    })

    const err = await racing.then(() => undefined, err => err)
    expect(err).to.have.property('name', 'AbortError')
    expect(err.cause).to.have.property('message', 'enough')
    expect(sockets.map(({ destroyed }) => destroyed)).to.deep.equal([true, true])
    expect(getEventListeners(own.signal, 'abort')).to.be.empty()
  })
})
