import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { initWithDefaults, withDefaults } from '../src/options.ts'
import { startServer } from './fixtures/server.ts'
import { createTransport, rawUpgrader } from './kit/transport.ts'

const SOCKET_OPTIONS = {
  noDelay: 1,
  keepAlive: 'yes',
  keepAliveInitialDelay: -1,
  allowHalfOpen: 'no'
}

/**
 * A value for each option that can't be meant
 */
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

/**
 * `{ a: { b: value } }` for `a.b`, with what has to be beside `b`
 */
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
      it(`have their defaults when listening and dialing (${i})`, async () => {
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
