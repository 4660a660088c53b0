import { getEventListeners, once } from 'node:events'
import net from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect } from 'aegir/chai'
import { firstConnected } from '../../src/dialing/first-connected.ts'
import { startBlackhole, startServer } from '../fixtures/server.ts'
import type { Rival } from '../../src/dialing/first-connected.ts'
import type { Blackhole, TestServer } from '../fixtures/server.ts'
import type { Socket } from 'node:net'

describe('first connected', () => {
  const controller = new AbortController()
  const sockets: Socket[] = []
  let server: TestServer
  let blackhole: Blackhole

  async function closedPort (): Promise<number> {
    const closed = await startServer()
    await closed.stop()

    return closed.port
  }

  function connect (port: number): Socket {
    const socket = net.connect({ host: '127.0.0.1', port })
    sockets.push(socket)

    return socket
  }

  /** A rival for silence only, if nothing else is said */
  function rival (start: Rival['start'], after: number = 20, checks: Rival['checks'] = () => false): Rival {
    return { after, checks, start }
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

    expect(await firstConnected(socket, controller.signal, rival(() => connect(server.port), 50))).to.equal(socket)
    // a later timeout of the socket starts no rival
    await new Promise(resolve => socket.once('timeout', resolve))
    expect(sockets).to.have.lengthOf(1)
  })

  Object.entries({ 'at once': 0, 'for a while': 20 }).forEach(([time, after]) => {
    it(`is the rival, if the socket gets no answer ${time}`, async () => {
      const socket = connect(blackhole.port)

      const connected = await firstConnected(socket, controller.signal, rival(() => connect(server.port), after))
      expect(connected).to.equal(sockets.at(-1)).and.not.equal(socket)
      expect(connected.destroyed).to.equal(false)
      expect(socket.destroyed).to.equal(true)
    })
  })

  it('is the socket, if it is faster in the end', async () => {
    const socket = connect(blackhole.port)
    const racing = firstConnected(socket, controller.signal, rival(() => {
      setTimeout(() => { socket.emit('connect') }, 20)
      return connect(blackhole.port)
    }))

    expect(await racing).to.equal(socket)
    expect(socket.destroyed).to.equal(false)
    expect(sockets[1].destroyed).to.equal(true)
  })

  it('is the socket, if its second SYN is answered a moment after the rival', async () => {
    const other = await startBlackhole()
    const socket = connect(other.port)
    // the kernel sends the next one after 1,000 ms
    setTimeout(other.release, 100)

    const racing = firstConnected(socket, controller.signal, rival(() => {
      const opponent = new net.Socket()
      sockets.push(opponent)
      // it takes 250 ms, so that much is waited for the socket
      setTimeout(() => { opponent.connect(server.port, '127.0.0.1') }, 250)

      return opponent
    }, 700))

    expect(await racing).to.equal(socket)
    expect(sockets[1].connecting).to.equal(false)
    expect(sockets[1].destroyed).to.equal(true)
    await other.stop()
  })

  it('is the rival at once, if the socket fails when the rival is connected', async () => {
    const socket = connect(blackhole.port)
    const order: string[] = []
    const racing = firstConnected(socket, controller.signal, rival(() => {
      const opponent = new net.Socket()
      sockets.push(opponent)
      setTimeout(() => { opponent.connect(server.port, '127.0.0.1') }, 800)
      opponent.once('connect', () => {
        setImmediate(() => socket.destroy(new Error('no')))
        // sooner than the 800 ms that would be waited for the socket
        setTimeout(() => { order.push('a while later') }, 400)
      })

      return opponent
    }))

    expect(await racing).to.equal(sockets[1])
    expect(order).to.be.empty()
  })

  it('loses nothing that is sent to the rival before it has won', async () => {
    const greeter = await startServer('127.0.0.1', 0, socket => { socket.end('welcome') })
    const connected = await firstConnected(connect(blackhole.port), controller.signal, rival(() => connect(greeter.port)))
    const received = once(connected, 'data')

    connected.resume()
    expect(`${(await received)[0]}`).to.equal('welcome')
    await greeter.stop()
  })

  it('is the rival, if the socket fails and the rival checks that', async () => {
    const failures: Array<Error | undefined> = []
    const start = (failure?: Error): Socket => {
      failures.push(failure)
      return connect(server.port)
    }

    for (const after of [10_000, Infinity]) {
      const socket = connect(await closedPort())
      expect(await firstConnected(socket, controller.signal, rival(start, after, () => true))).to.equal(sockets.at(-1))
      expect(socket.errored).to.have.property('code', 'ECONNREFUSED')
      expect(failures.at(-1)).to.equal(socket.errored)
    }
  })

  it('fails with the socket, if there is no rival for that', async () => {
    const closed = await closedPort()

    for (const opponent of [undefined, rival(() => connect(server.port), 10_000)]) {
      await expect(firstConnected(connect(closed), controller.signal, opponent)).to.eventually.be.rejected()
        .with.property('code', 'ECONNREFUSED')
    }

    expect(sockets).to.have.lengthOf(2)
  })

  it('is the rival, if the socket fails after the rival was started', async () => {
    const socket = connect(blackhole.port)
    const start = (): Socket => {
      socket.destroy(new Error('no'))
      return connect(server.port)
    }

    expect(await firstConnected(socket, controller.signal, rival(start))).to.equal(sockets[1])
  })

  it('fails with the error of the socket, if both fail', async () => {
    const closed = await closedPort()
    const unreachable = Object.assign(new Error('no'), { code: 'EHOSTUNREACH' })

    for (const [checks, after] of [[true, Infinity], [false, 20]] as const) {
      const socket = connect(blackhole.port)
      const start = (): Socket => {
        socket.destroy(unreachable)
        return connect(closed)
      }

      if (checks) {
        socket.destroy(unreachable)
      }

      expect(await firstConnected(socket, controller.signal, rival(start, after, () => checks)).then(() => undefined, err => err)).to.equal(unreachable)
    }
  })

  it('fails with the rival, if the socket gets no answer', async () => {
    const closed = await closedPort()

    await expect(firstConnected(connect(blackhole.port), controller.signal, rival(() => connect(closed)))).to.eventually.be.rejected()
      .with.property('code', 'ECONNREFUSED')
    expect(sockets[0].destroyed).to.equal(true)
  })

  it('is the socket, if it connects a moment after the rival has failed', async () => {
    const socket = connect(blackhole.port)
    const closed = await closedPort()
    const racing = firstConnected(socket, controller.signal, rival(() => {
      const opponent = connect(closed)
      opponent.once('error', () => { setImmediate(() => { socket.emit('connect') }) })

      return opponent
    }))

    expect(await racing).to.equal(socket)
    expect(socket.destroyed).to.equal(false)
  })

  it('is over when it has a result: an error of the connection starts no rival', async () => {
    const socket = connect(server.port)
    expect(await firstConnected(socket, controller.signal, rival(() => connect(server.port), 10_000, () => true))).to.equal(socket)

    const closed = new Promise(resolve => socket.once('close', resolve))
    socket.destroy(new Error('reset'))
    await closed
    expect(sockets).to.have.lengthOf(1)
  })

  it('starts no rival for a socket that fails in the moment in which the signal aborts', async () => {
    const own = new AbortController()
    const socket = connect(blackhole.port)
    const racing = firstConnected(socket, own.signal, rival(() => connect(server.port), 10_000, () => true))
    // the error comes in the next tick, before the race is continued
    socket.destroy(new Error('no'))
    own.abort()

    await expect(racing).to.eventually.be.rejected().with.property('name', 'AbortError')
    expect(sockets).to.have.lengthOf(1)
  })

  it('ends with a signal that has aborted before, and nobody hears of a failure after that', async () => {
    const unhandled: unknown[] = []
    const onUnhandled = (reason: unknown): void => { unhandled.push(reason) }
    process.on('unhandledRejection', onUnhandled)
    const socket = new net.Socket()
    socket.destroy(new Error('connect(2) has failed at once'))

    await expect(firstConnected(socket, AbortSignal.abort())).to.eventually.be.rejected().with.property('name', 'AbortError')
    await nextTurn()
    process.off('unhandledRejection', onUnhandled)
    expect(unhandled).to.be.empty()
  })

  it('ends with the signal', async () => {
    const own = new AbortController()
    const racing = firstConnected(connect(blackhole.port), own.signal, rival(() => {
      setTimeout(() => { own.abort(new Error('enough')) })
      return connect(blackhole.port)
    }))

    const err = await racing.then(() => undefined, err => err)
    expect(err).to.have.property('name', 'AbortError')
    expect(err.cause).to.have.property('message', 'enough')
    expect(sockets.map(({ destroyed }) => destroyed)).to.deep.equal([true, true])
    expect(getEventListeners(own.signal, 'abort')).to.be.empty()
  })
})
