import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { withDefaults } from '../src/options.ts'
import { createTransport, rawUpgrader } from './fixtures/transport.ts'

const SOCKET_OPTIONS = {
  noDelay: 1,
  keepAlive: 'yes',
  keepAliveInitialDelay: -1,
  allowHalfOpen: null
}

/**
 * A value for each option that can't be meant
 */
const REFUSED = {
  transport: {
    reusePort: 'require',
    sharePort: 0,
    reusePortTimeout: -1,
    observedAddressThreshold: 0,
    inboundSocketInactivityTimeout: '10s',
    outboundSocketInactivityTimeout: 2 ** 31,
    maxConnections: NaN,
    backlog: -1,
    closeServerOnMaxConnections: 10,
    'closeServerOnMaxConnections.listenBelow': undefined,
    'closeServerOnMaxConnections.closeAbove': '10',
    'closeServerOnMaxConnections.onListenError': 'log it',
    ...inside('dialOpts'),
    ...inside('listenOpts')
  },
  dial: {
    ...SOCKET_OPTIONS,
    reusePort: 'required',
    initiator: 'yes',
    signal: new AbortController(),
    onProgress: {}
  },
  listener: SOCKET_OPTIONS
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
  Object.entries(REFUSED.transport).forEach(([option, value]) => {
    it(`of the transport: ${option} can not be ${String(value)}`, async () => {
      await refused(() => createTransport(optionsWith(option, value)), option)
    })
  })

  Object.entries(REFUSED.dial).forEach(([option, value]) => {
    it(`of a dial: ${option} can not be ${String(value)}`, async () => {
      const { transport } = createTransport()

      await refused(async () => transport.connect(multiaddr('/ip4/127.0.0.1/tcp/1'), optionsWith(option, value)), option)
    })
  })

  Object.entries(REFUSED.listener).forEach(([option, value]) => {
    it(`of a listener: ${option} can not be ${String(value)}`, async () => {
      const { transport } = createTransport()

      await refused(() => transport.createListener({ upgrader: rawUpgrader(), ...optionsWith(option, value) }), option)
    })
  })

  it('of a socket are its own, else those of the transport, else the defaults', () => {
    expect(withDefaults(undefined, {})).to.deep.equal({ noDelay: true, keepAlive: true, keepAliveInitialDelay: undefined, allowHalfOpen: false })

    const forAll = { noDelay: false, keepAlive: false, keepAliveInitialDelay: 1_000, allowHalfOpen: true }
    expect(withDefaults(forAll, {})).to.deep.equal(forAll)

    const forThis = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 2_000, allowHalfOpen: false }
    expect(withDefaults(forAll, forThis)).to.deep.equal(forThis)
  })
})
