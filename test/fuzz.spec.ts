import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { reuseportTcp } from '../src/index.ts'
import { closed, startServer } from './fixtures/server.ts'
import { createTransport, rawUpgrader } from './kit/transport.ts'
import type { TestServer } from './fixtures/server.ts'
import type { TestTransport } from './kit/transport.ts'
import type { Multiaddr } from '@multiformats/multiaddr'

/**
 * Whatever comes in, what comes out is a result or an error with a name that
 * says what kind it is, in bounded time
 */
describe('fuzzed input', () => {
  let local: TestTransport
  let server: TestServer

  before(async () => {
    local = createTransport()
    server = await startServer()
    await local.listen('/ip4/127.0.0.1/tcp/0')
  })

  after(async () => {
    await local.stop()
    await server.stop()
  })

  const anything = fc.oneof(
    fc.anything(), fc.integer(), fc.double(), fc.boolean(), fc.string(),
    fc.constantFrom(null, undefined, NaN, Infinity, -1, 0, 2 ** 31, '1000', [], {}, () => {})
  )

  /** Loopback hosts and nonsense only: no address of anybody else */
  const host = fc.constantFrom('/ip4/127.0.0.1', '/ip4/127.0.0.9', '/ip6/::1', '/ip4/0.0.0.0', '/ip6/::', '/ip6/::ffff:127.0.0.1', '/dns4/localhost', '/dns/localhost', '/dnsaddr/localhost', '/ip6zone/lo/ip6/::1', '')
  const suffix = fc.array(fc.constantFrom('/tcp/0', '/tcp/PORT', '/udp/PORT', '/ws', '/tls', '/p2p-circuit', '/quic-v1', '/http', '/p2p/12D3KooWJRSrypvnpHgc6ZAgyCni4KcSmbV7uGRaMw5LgMKT18fq', '/ipcidr/8', '/unix/%2Fnowhere%2Fa', '/ip4/127.0.0.1', '/sni/localhost'), { maxLength: 3 })

  const addresses = fc.tuple(host, suffix).map(([host, suffix]) => parse(`${host}${suffix.join('')}`.replaceAll('PORT', `${server.port}`)))
    .filter(ma => ma != null)

  function parse (text: string): Multiaddr | undefined {
    try {
      return multiaddr(text)
    } catch {
      // not every combination is a multiaddr
    }
  }

  /**
   * @throws {Error} what is neither a typed error of libp2p nor one of the system. Node gives
   * codes that begin with `ERR_` to a TypeError, for instance
   */
  function assertTyped (err: any): void {
    if (!(err instanceof Error) || !(['InvalidParametersError', 'AbortError', 'AlreadyStartedError'].includes(err.name) || /^E(?!RR_)[A-Z_]+$/.test((err as NodeJS.ErrnoException).code ?? ''))) {
      throw err
    }
  }

  it('multiaddrs to dial', async () => {
    let dialed = 0

    await fc.assert(fc.asyncProperty(addresses, async ma => {
      try {
        const connection = await local.transport.connect(ma, { signal: AbortSignal.timeout(5_000) })
        dialed++
        connection.abort(new Error('that was all'))
        expect(local.transport.dialFilter([ma])).to.have.lengthOf(1)
      } catch (err: any) {
        assertTyped(err)
      }
    }), { numRuns: 500 })
    expect(dialed).to.be.greaterThan(0)
  })

  it('multiaddrs to listen on', async () => {
    let listening = 0

    await fc.assert(fc.asyncProperty(addresses, async ma => {
      const listener = local.transport.createListener({ upgrader: rawUpgrader() })

      try {
        await listener.listen(ma)
        listening++
        expect(local.transport.listenFilter([ma])).to.have.lengthOf(1)
      } catch (err: any) {
        assertTyped(err)
      } finally {
        await listener.close()
      }
    }), { numRuns: 300 })
    expect(listening).to.be.greaterThan(0)
  })

  it('what is no multiaddr at all', async () => {
    await fc.assert(fc.asyncProperty(anything, async value => {
      await expect(local.transport.connect(value as Multiaddr)).to.eventually.be.rejected()
        .with.property('name', 'InvalidParametersError')
      await expect(local.transport.createListener({ upgrader: rawUpgrader() }).listen(value as Multiaddr)).to.eventually.be.rejected()
        .with.property('name', 'InvalidParametersError')
    }), { examples: [[{ toString: 0 }]] })
  })

  it('options of the transport', () => {
    const fail = (): never => { throw new Error('This must not be called') }
    const failing: ProxyHandler<object> = { get: fail, has: fail, ownKeys: fail, getPrototypeOf: fail, getOwnPropertyDescriptor: fail }
    const inConversions = ['toString', 'valueOf', 'toJSON', Symbol.toPrimitive, Symbol.toStringTag, Symbol.for('nodejs.util.inspect.custom')]

    // each is made when it is needed, as fast-check looks at values, too
    type Make = () => unknown
    const hostile: Make[] = [
      ...inConversions.flatMap<Make>(name => [
        () => ({ [name]: [] }),
        () => ({ [name]: fail }),
        () => Object.defineProperty({}, name, { get: fail, enumerable: true })
      ]),
      () => new Proxy({}, failing),
      () => new Proxy(fail, failing),
      () => {
        const { proxy, revoke } = Proxy.revocable({}, {})
        revoke()

        return proxy
      },
      () => {
        const cyclic: Record<string, unknown> = {}
        cyclic.dialOpts = cyclic

        return cyclic
      },
      () => ({ get reusePort () { return fail() } })
    ]
    const value = fc.oneof(
      anything.map<Make>(value => () => value),
      fc.anything({ withBigInt: true, withBoxedValues: true, withDate: true, withMap: true, withNullPrototype: true, withObjectString: true, withSet: true, withSparseArray: true, withTypedArray: true }).map<Make>(value => () => value),
      fc.constantFrom(...hostile)
    )
    const record = (values: Record<string, fc.Arbitrary<Make>>): fc.Arbitrary<Make> => fc.oneof(
      value,
      fc.record(values, { requiredKeys: [] }).map<Make>(makes => () => Object.fromEntries(Object.entries(makes).map(([name, make]) => [name, make?.()])))
    )

    const socket = record({ noDelay: value, keepAlive: value, keepAliveInitialDelay: value, allowHalfOpen: value, nodelay: value })
    const init = record({
      reusePort: value,
      sharePort: value,
      reusePortTimeout: value,
      inboundSocketInactivityTimeout: value,
      outboundSocketInactivityTimeout: value,
      maxConnections: value,
      backlog: value,
      closeServerOnMaxConnections: record({ closeAbove: value, listenBelow: value, onListenError: value }),
      dialOpts: socket,
      listenOpts: socket,
      reuseport: value
    })

    fc.assert(fc.property(init, make => {
      try {
        reuseportTcp(make() as any)
      } catch (err: any) {
        expect(err).to.have.property('name', 'InvalidParametersError')
        expect(err.message).to.match(/^options(\.\w+)* .*(must|has no option)/)
        expect(err.message).to.have.property('length').that.is.below(500)
      }
    }), { numRuns: 5_000 })
  })

  it('options that were accepted', async () => {
    const flag = fc.boolean()
    const delay = fc.integer({ min: 0, max: 2 ** 31 - 1 })
    const accepted = fc.record({ noDelay: flag, keepAlive: flag, keepAliveInitialDelay: delay, allowHalfOpen: flag }, { requiredKeys: [] })
    const init = fc.record({
      reusePort: flag,
      sharePort: flag,
      reusePortTimeout: fc.oneof(delay, fc.constant(Infinity)),
      inboundSocketInactivityTimeout: fc.constantFrom(0, 1_000, 2 ** 31 - 1),
      outboundSocketInactivityTimeout: fc.constantFrom(0, 1_000, 2 ** 31 - 1),
      maxConnections: fc.integer({ min: 1, max: 1_000 }),
      backlog: fc.integer({ min: 1, max: 100_000 }),
      dialOpts: accepted,
      listenOpts: accepted
    }, { requiredKeys: [] })

    await fc.assert(fc.asyncProperty(init, accepted, async (init, options) => {
      const transport = createTransport(init)
      const { port } = await transport.listen('/ip4/127.0.0.1/tcp/0')

      for (const to of [port, server.port]) {
        const { connection } = await transport.connect(`/ip4/127.0.0.1/tcp/${to}`, options)
        connection.send(Uint8Array.from([1]))
      }

      await transport.stop()
    }), { numRuns: 100 })
  })

  it('options of a dial, which leave nothing open', async () => {
    const valid = { noDelay: true, keepAlive: false, keepAliveInitialDelay: 1_000, allowHalfOpen: true, reusePort: false, initiator: null, onProgress: () => {}, signal: new AbortController().signal }
    // most are valid, so that some dials have only valid ones
    const options = Object.fromEntries(Object.entries(valid).map(([name, value]) => [name, fc.oneof({ weight: 5, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: anything })]))
    const signal = fc.constantFrom(undefined, null, AbortSignal.abort(), new AbortController().signal)
    let dialed = 0

    await fc.assert(fc.asyncProperty(fc.record({ ...options, signal: fc.oneof(options.signal, signal) }, { requiredKeys: [] }), async options => {
      try {
        const connection = await local.transport.connect(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`), options as any)
        dialed++
        connection.abort(new Error('that was all'))
      } catch (err: any) {
        assertTyped(err)
      }
    }), { numRuns: 1_000 })
    await Promise.all(server.sockets.map(closed))
    expect(dialed).to.be.greaterThan(0)
  })
})
