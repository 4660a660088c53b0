import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { checkInit, initWithDefaults, withDefaults } from '../src/check-options.ts'
import { reuseportTcp } from '../src/index.ts'
import { startServer } from './fixtures/server.ts'
import { HAS_SO_REUSEPORT, where } from './fixtures/system.ts'
import { createTransport, rawUpgrader } from './kit/transport.ts'
import type { TCPOptions } from '@libp2p/tcp'

const SOCKET_OPTIONS = {
  noDelay: 1,
  keepAlive: 'yes',
  keepAliveInitialDelay: -1,
  allowHalfOpen: 'no'
}

/** A value for each option that can't be meant */
const REFUSED = {
  reusePort: 'require',
  sharePort: 0,
  reusePortTimeout: -1,
  observedAddressThreshold: 0,
  inboundSocketInactivityTimeout: '10s',
  outboundSocketInactivityTimeout: 2 ** 31,
  maxConnections: NaN,
  backlog: -1,
  closeServerOnMaxConnections: 10,
  'closeServerOnMaxConnections.listenBelow': null,
  'closeServerOnMaxConnections.closeAbove': '10',
  'closeServerOnMaxConnections.onListenError': 'log it',
  ...inside('dialOpts'),
  ...inside('listenOpts')
}

function inside (option: string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(SOCKET_OPTIONS).map(([name, value]) => [`${option}.${name}`, value]))
}

/** `{ a: { b: value } }` for `a.b`, with what has to be beside `b` */
function optionsWith (path: string, value: unknown): any {
  const [name, inner] = path.split('.')

  if (inner == null) {
    return { [name]: value }
  }

  return { [name]: { ...(name === 'closeServerOnMaxConnections' ? { listenBelow: 1, closeAbove: 2 } : {}), [inner]: value } }
}

async function refused (use: () => unknown, option: string): Promise<void> {
  await expect((async () => use())()).to.eventually.be.rejected()
    .with.property('name', 'InvalidParametersError')
  await expect((async () => use())()).to.eventually.be.rejected()
    .with.property('message').that.include(`options.${option} must be`)
}

describe('options', () => {
  Object.entries(REFUSED).forEach(([option, value]) => {
    it(`of the transport: ${option} can not be ${String(value)}`, async () => {
      await refused(() => createTransport(optionsWith(option, value)), option)
    })
  })

  it('of the transport: backlog is an integer, as Node makes a queue of 0 of Infinity', async () => {
    for (const backlog of [Infinity, 1.5, 2 ** 31]) {
      await refused(() => createTransport({ backlog }), 'backlog')
    }

    createTransport({ backlog: 2 ** 31 - 1 })
  })

  Object.entries({ ...SOCKET_OPTIONS, reusePort: 'yes', initiator: 'me', onProgress: 5, signal: {} }).forEach(([option, value]) => {
    it(`of a dial: ${option} can not be ${JSON.stringify(value)}`, async () => {
      const { transport } = createTransport()
      const options: any = { upgrader: rawUpgrader(), [option]: value }

      await refused(async () => transport.dial(multiaddr('/ip4/127.0.0.1/tcp/1'), options), option)
      await refused(async () => transport.connect(multiaddr('/ip4/127.0.0.1/tcp/1'), options), option)
    })
  })

  Object.entries(SOCKET_OPTIONS).forEach(([option, value]) => {
    it(`of a listener: ${option} can not be ${value}`, async () => {
      await refused(() => createTransport().transport.createListener({ upgrader: rawUpgrader(), [option]: value }), option)
    })
  })

  describe('that do not exist', () => {
    const UNKNOWN: Array<[given: any, message: string]> = [
      [{ reuseport: false }, 'options has no option "reuseport". Did you mean reusePort?'],
      [{ resuePort: false }, 'options has no option "resuePort". Did you mean reusePort?'],
      [{ dialOpts: { nodelay: true } }, 'options.dialOpts has no option "nodelay". Did you mean noDelay?'],
      [{ closeServerOnMaxConnections: { closeAbove: 2, listenBelow: 1, onlistenerror: () => {} } }, 'options.closeServerOnMaxConnections has no option "onlistenerror". Did you mean onListenError?'],
      [{ listenOpts: { localAddress: '127.0.0.1' } }, 'options.listenOpts has no option "localAddress". There are noDelay, keepAlive, keepAliveInitialDelay, allowHalfOpen'],
      [JSON.parse('{ "__proto__": { "reusePort": false } }'), 'options has no option "__proto__". There are reusePort, '],
      [{ toString: () => 'reusePort' }, 'options has no option "toString". There are reusePort, '],
      [['reusePort'], 'options has no option "0". There are reusePort, ']
    ]

    UNKNOWN.forEach(([given, message]) => {
      it(`are refused: ${message.split('.')[0]}`, () => {
        expect(() => { reuseportTcp(given) }).to.throw().with.property('name', 'InvalidParametersError')
        expect(() => { reuseportTcp(given) }).to.throw().with.property('message').that.include(message)
      })
    })

    it('but have no value are not given', () => {
      reuseportTcp({ reuseport: undefined, dialOpts: { nodelay: null } } as any)
    })
  })

  it('are all that @libp2p/tcp has', () => {
    const options: Required<TCPOptions> = {
      inboundSocketInactivityTimeout: 1_000,
      outboundSocketInactivityTimeout: 1_000,
      maxConnections: Infinity,
      backlog: 10,
      closeServerOnMaxConnections: { closeAbove: 2, listenBelow: 1, onListenError: () => {} },
      dialOpts: { noDelay: true, keepAlive: true, keepAliveInitialDelay: 0, allowHalfOpen: false },
      listenOpts: { noDelay: true, keepAlive: true, keepAliveInitialDelay: 0, allowHalfOpen: false }
    }

    reuseportTcp(options)
  })

  it('can be inherited', async () => {
    class Config {
      get reusePort (): boolean { return false }
      helper (): void {}
    }

    await refused(() => reuseportTcp(Object.create({ reusePort: 'no' })), 'reusePort')
    expect(checkInit(new Config())).to.deep.equal({ reusePort: false })
  })

  it('are read when the transport is made, once', () => {
    let reads = 0
    const options = {
      get backlog () { return ++reads === 1 ? 10 : Infinity },
      dialOpts: { noDelay: true }
    }
    const checked = checkInit(options)
    options.dialOpts.noDelay = 'no' as any

    expect(checked).to.deep.equal({ backlog: 10, dialOpts: { noDelay: true } })
  })

  it('of a socket are its own, else those of the transport, else the defaults', () => {
    expect(withDefaults({}, {})).to.deep.equal({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 0, allowHalfOpen: false })

    const forAll = { noDelay: false, keepAlive: false, keepAliveInitialDelay: 1_000, allowHalfOpen: true }
    expect(withDefaults(forAll, {})).to.deep.equal(forAll)

    const forThis = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 2_000, allowHalfOpen: false }
    expect(withDefaults(forAll, forThis)).to.deep.equal(forThis)
  })

  describe('that are null', () => {
    const SOCKET_NULLS = { noDelay: null, keepAlive: null, keepAliveInitialDelay: null, allowHalfOpen: null }
    const INIT_NULLS: any = {
      reusePort: null,
      sharePort: null,
      reusePortTimeout: null,
      observedAddressThreshold: null,
      inboundSocketInactivityTimeout: null,
      outboundSocketInactivityTimeout: null,
      maxConnections: null,
      backlog: null,
      closeServerOnMaxConnections: null,
      dialOpts: null,
      listenOpts: null
    }
    const cases = [
      INIT_NULLS,
      { ...INIT_NULLS, closeServerOnMaxConnections: { listenBelow: 10, closeAbove: 10, onListenError: null }, dialOpts: SOCKET_NULLS, listenOpts: SOCKET_NULLS }
    ]

    cases.forEach((init, i) => {
      where(HAS_SO_REUSEPORT).it(`have their defaults when listening and dialing (${i})`, async () => {
        const server = await startServer()
        const { transport, listen, stop } = createTransport(init)
        const { port } = await listen('/ip4/127.0.0.1/tcp/0')
        const listener = transport.createListener({ upgrader: rawUpgrader(), ...SOCKET_NULLS } as any)
        await listener.listen(multiaddr(`/ip4/127.0.0.1/tcp/${port}`))

        const options: any = { ...SOCKET_NULLS, reusePort: null, initiator: null, signal: null, onProgress: null }
        const dialed = await transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`), { upgrader: rawUpgrader(), ...options })
        expect((await server.socket(0)).remotePort).to.equal(port)
        dialed.abort(new Error('seen'))

        const connection = await transport.connect(multiaddr(`/ip4/127.0.0.1/tcp/${port}`), options)
        connection.abort(new Error('seen'))

        await Promise.all([listener.close(), stop(), server.stop()])
      })
    })

    it('are what they are if they are not given', () => {
      expect(initWithDefaults(INIT_NULLS)).to.deep.equal(initWithDefaults({}))
      expect(withDefaults(SOCKET_NULLS as any, SOCKET_NULLS as any)).to.deep.equal(withDefaults({}, {}))
    })
  })
})
