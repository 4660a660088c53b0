import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { ConnectionClosedError, UnsupportedProtocolError } from '@libp2p/interface'
import { defaultLogger } from '@libp2p/logger'
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id'
import { getNetConfig, lpStream, streamPair } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { TypedEventEmitter } from 'main-event'
import pDefer from 'p-defer'
import { pEvent } from 'p-event'
import { raceSignal } from 'race-signal'
import { dcutr } from '../../src/dcutr/service.ts'
import { isPublic } from '../../src/endpoint.ts'
import { connectMessage, SYNC } from '../fixtures/dcutr-messages.ts'
import { startBlackhole, startServer } from '../fixtures/server.ts'
import { REUSES_PORTS, where } from '../fixtures/system.ts'
import { createTransport, rawUpgrader } from '../kit/transport.ts'
import { until } from '../kit/wait.ts'
import type { HolePunchAttempt, HolePunchEnd } from '../../src/dcutr/service.ts'
import type { TestServer } from '../fixtures/server.ts'
import type { Connection, Libp2pEvents, PeerId, Stream } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

const PEER = peerIdFromString('12D3KooWJRSrypvnpHgc6ZAgyCni4KcSmbV7uGRaMw5LgMKT18fq')
const OTHER = peerIdFromString('12D3KooWHFKTMzwerBtsVmtz4ZZEQy2heafxzWw6wNn5PPYkBxJ5')
const US = peerIdFromString('12D3KooWPWvdQF1MzMEYxpN6bRPJnQaGVoJwPLGXNDxQUqvsDkZy')

type Dial = (ma: Multiaddr, options: any) => Promise<Connection>

/**
 * What the service asks of libp2p. Whole nodes, with real NATs between them, are in
 * test/nat
 */
describe('dcutr', () => {
  const direct = connection(`/ip4/11.0.0.2/tcp/4001/p2p/${PEER}`)
  const cleanup: Array<() => Promise<unknown>> = []

  afterEach(async () => {
    await Promise.all(cleanup.splice(0).map(async fn => fn()))
  })

  function connection (address: string, direction: Connection['direction'] = 'outbound'): Connection {
    const events = new TypedEventEmitter<{ close: Event }>()

    return Object.assign(events, {
      remoteAddr: multiaddr(address),
      remotePeer: PEER,
      status: 'open',
      timeline: { open: 0 },
      direction,
      newStream: async () => ({ close: async () => {} }),
      close: async () => {
        events.safeDispatchEvent('close')
      },
      abort: () => {}
    }) as any
  }

  /** A connection over the relay, which we have dialed unless the direction says otherwise */
  function relayedConnection (direction?: Connection['direction'], peer: PeerId = PEER, relay: PeerId = OTHER): Connection {
    return Object.assign(connection(`/ip4/11.0.0.1/tcp/4001/p2p/${relay}/p2p-circuit/p2p/${peer}`, direction), { remotePeer: peer })
  }

  function endpoint (...observed: Array<[address: string, observers: number, dialed?: number]>): any {
    return {
      local: multiaddr('/ip4/0.0.0.0/tcp/4001'),
      mapping: 'unknown',
      next: [],
      addresses: observed.map(([address, observers, dialed = observers]) => ({ multiaddr: multiaddr(address), observers, dialed, agreed: observers >= 4 }))
    }
  }

  interface Setup {
    dial?: Dial
    addresses?: string[]
    observed?: any[]
    deny?: string
    denyPeer?: boolean
    transport?: string
    timeout?: number
    retries?: number
    listening?: string[]
    connections?: Connection[]
    events?: TypedEventEmitter<Libp2pEvents>
  }

  async function setUp ({ dial = async () => direct, addresses = [], observed = [], listening = [], connections = [], events = new TypedEventEmitter(), deny, denyPeer = false, transport = 'libp2p-reuseport-tcp', timeout = 5_000, retries = 1 }: Setup = {}): Promise<any> {
    const dials: any[] = []
    const counts: Record<string, number> = {}
    const told: string[] = []
    const found: any = { addresses, dials, counts, told }

    const service: any = dcutr({ retries, timeout })({
      peerId: US,
      logger: defaultLogger(),
      events,
      peerStore: { get: async () => ({ addresses: addresses.map(address => ({ multiaddr: multiaddr(address) })) }) },
      addressManager: { getAddresses: () => ['/ip4/11.0.0.9/tcp/4001', '/ip4/192.168.1.9/tcp/4001'].map(address => multiaddr(`${address}/p2p/${US}`)) },
      connectionGater: {
        denyDialPeer: async () => denyPeer,
        denyDialMultiaddr: async (ma: Multiaddr) => deny != null && ma.toString().startsWith(deny)
      },
      connectionManager: { getConnections: (peer?: PeerId) => [relayedConnection(), ...connections].filter(({ remotePeer }) => peer == null || peer.equals(remotePeer)), openConnection: async () => { throw new Error('not around the service') } },
      registrar: {
        register: async (protocol: string, { onConnect }: any) => { found.onConnect = onConnect },
        handle: async (protocol: string, handler: any) => { found.handler = handler },
        unregister: () => {},
        unhandle: async () => {}
      },
      transportManager: {
        getTransports: () => [{ [Symbol.toStringTag]: transport, observed: () => observed }],
        getAddrs: () => listening.map(address => multiaddr(address)),
        dialTransportForMultiaddr: () => ({}),
        dial: async (ma: Multiaddr, { signal, onProgress, ...options }: any) => {
          dials.push({ address: ma.toString(), ...options })

          return dial(ma, { signal, onProgress, ...options })
        }
      },
      metrics: {
        registerCounterGroup: () => ({
          increment: (values: Record<string, true>) => { Object.keys(values).forEach(name => { counts[name] = (counts[name] ?? 0) + 1 }) }
        })
      }
    } as any)

    await service.start()
    service.addEventListener('hole-punch:attempt', ({ detail: { peer, role, attempt, multiaddrs } }: CustomEvent<HolePunchAttempt>) => {
      told.push(`${peer === PEER} ${role} ${attempt} ${multiaddrs.map(ma => ma.decapsulate('/p2p'))}`)
    })
    service.addEventListener('hole-punch:end', ({ detail: { peer, role, attempts, result } }: CustomEvent<HolePunchEnd>) => {
      told.push(`${peer === PEER} ${role} ${attempts} ${result.kind === 'failed' ? `${result.why}: ${result.message}` : `${result.kind} ${result.connection === direct}`}`)
    })

    return Object.assign(found, { service })
  }

  /** Plays a peer that we have dialed over the relay, and that names these addresses */
  async function punch (setup: Setup, addresses: string[]): Promise<any> {
    const node = await setUp(setup)
    await punchWith(node, addresses, relayedConnection())

    return node
  }

  async function punchWith (node: any, addresses: string[], relayed: Connection): Promise<void> {
    const [theirs, ours] = await streamPair()
    const messages = lpStream(theirs)
    const handled = node.handler(ours, relayed).catch((err: Error) => { node.error = err })

    await messages.write(connectMessage(addresses))
    await messages.read()
    await messages.write(SYNC)
    await handled
  }

  /**
   * Plays a peer that has dialed us over the relay, and that names these addresses when we
   * coordinate the punch. Resolves when the procedure begins
   */
  function dialedOverRelay (addresses: string[], peer?: PeerId, relay?: PeerId): { relayed: Connection, begun: Promise<void>, count(): number } {
    const begun = pDefer<void>()
    let count = 0
    const relayed = Object.assign(relayedConnection('inbound', peer, relay), {
      newStream: async (): Promise<Stream> => {
        count++
        begun.resolve()
        const [ours, theirs] = await streamPair()
        const messages = lpStream(theirs)
        messages.read()
          .then(async () => messages.write(connectMessage(addresses)))
          .catch(() => {})

        return ours
      }
    })

    return { relayed, begun: begun.promise, count: () => count }
  }

  async function randomPeer (): Promise<PeerId> {
    return peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
  }

  function addressesOf (count: number): string[] {
    return Array.from({ length: count }, (_, i) => `/ip4/11.0.1.${i}/tcp/4001`)
  }

  it('needs the transport of this package', async () => {
    await expect(setUp({ transport: '@libp2p/tcp' })).to.eventually.be.rejected()
      .with.property('message', 'libp2p-reuseport-tcp/dcutr needs reuseportTcp() among the transports')
  })

  it('checks its options', () => {
    for (const init of [{}, { timeout: 0, retries: 3, maxInboundStreams: Infinity }, { timeout: undefined }]) {
      expect(() => dcutr(init)).to.not.throw()
    }

    const bad: Array<[init: any, message: string]> = [
      [{ timeout: 'x' }, 'options.timeout must be a number of milliseconds from 0 to 2147483647, not "x"'],
      [{ timeout: Infinity }, 'options.timeout must be a number of milliseconds from 0 to 2147483647, not Infinity'],
      [{ retries: 1.5 }, 'options.retries must be an integer from 0, not 1.5'],
      [{ maxInboundStreams: -1 }, 'options.maxInboundStreams must be a number from 0, not -1'],
      [{ timeOut: 1 }, 'options has no option "timeOut". Did you mean timeout?'],
      [5, 'options must be an object, not 5']
    ]

    for (const [init, message] of bad) {
      expect(() => dcutr(init)).to.throw(message).with.property('name', 'InvalidParametersError')
    }
  })

  it('dials from the listening port or not at all, as the initiator, only the peer itself', async () => {
    const { dials } = await punch({}, ['/ip4/11.0.0.2/tcp/4001', `/ip4/11.0.0.3/tcp/4001/p2p/${PEER}`, `/ip4/11.0.0.4/tcp/4001/p2p/${OTHER}`])

    expect(dials).to.deep.equal([
      { address: `/ip4/11.0.0.2/tcp/4001/p2p/${PEER}`, initiator: true, reusePort: 'require' },
      { address: `/ip4/11.0.0.3/tcp/4001/p2p/${PEER}`, initiator: true, reusePort: 'require' }
    ])
  })

  it('dials eight addresses at most, and none that the gater denies', async () => {
    const { dials } = await punch({ deny: '/ip4/11.0.1.0/' }, addressesOf(12))

    expect(dials.map(({ address }: any) => address)).to.deep.equal(addressesOf(9).slice(1).map(address => `${address}/p2p/${PEER}`))
  })

  it('does not begin if no address may be dialed', async () => {
    const { counts, dials, error, told } = await punch({ deny: '/ip4/' }, addressesOf(2))

    expect(error).to.have.property('name', 'DialError')
    expect(dials).to.be.empty()
    expect(counts).to.deep.equal({})
    expect(told).to.deep.equal([`true initiator 0 not_dialed: ${error.message}`])
  })

  it('does not begin if the gater denies the peer', async () => {
    const { dials, error } = await punch({ denyPeer: true }, addressesOf(2))

    expect(error).to.have.property('name', 'DialError')
    expect(dials).to.be.empty()
  })

  it('counts what became of each hole punch, and tells it', async () => {
    const fail = (properties: object): Dial => async () => { throw Object.assign(new Error('no'), properties) }
    const resultOf = async (dial: Dial, expected: object, told: string): Promise<void> => {
      const node = await punch({ dial }, addressesOf(1))
      expect(node.counts).to.deep.equal({ attempted: 1, ...expected })
      expect(node.told).to.deep.equal(['true initiator 1 /ip4/11.0.1.0/tcp/4001', `true initiator 1 ${told}`])
    }

    await Promise.all([
      resultOf(async () => direct, { succeeded: 1 }, 'succeeded true'),
      resultOf(fail({ code: 'ECONNREFUSED' }), { failed_refused: 1 }, 'refused: no'),
      resultOf(fail({ code: 'ECONNRESET' }), { failed_refused: 1 }, 'refused: no'),
      resultOf(fail({ code: 'ETIMEDOUT' }), { failed_timeout: 1 }, 'timeout: no'),
      resultOf(fail({ name: 'AbortError' }), { failed_timeout: 1 }, 'timeout: no'),
      resultOf(fail({ code: 'EHOSTUNREACH' }), { failed_error: 1 }, 'error: no')
    ])
  })

  it('dials the announced addresses of who dialed us from an ephemeral port, and meanwhile punches, as the responder', async () => {
    const order: string[] = []
    const node = await setUp({
      addresses: ['/ip4/11.0.0.2/tcp/4001', '/ip4/192.168.1.2/tcp/4001'],
      dial: async (ma, { signal, reusePort }) => {
        if (reusePort === 'require') {
          order.push('punched')

          return direct
        }

        return raceSignal(new Promise<never>(() => {}), signal).finally(() => { order.push('plain dial ended') })
      }
    })
    const { relayed } = dialedOverRelay(['/ip4/11.0.0.2/tcp/5001'])
    node.onConnect(PEER, relayed)
    await until(() => order.length === 2)

    expect(order).to.deep.equal(['punched', 'plain dial ended'])
    expect(node.dials).to.deep.equal([
      { address: `/ip4/11.0.0.2/tcp/4001/p2p/${PEER}`, reusePort: false },
      { address: `/ip4/11.0.0.2/tcp/5001/p2p/${PEER}`, initiator: false, reusePort: 'require' }
    ])
    expect(node.counts).to.deep.equal({ attempted: 1, succeeded: 1 })
    await until(() => node.told.length === 2)
    expect(node.told).to.deep.equal(['true responder 1 /ip4/11.0.0.2/tcp/5001', 'true responder 1 succeeded true'])
  })

  it('needs no punch if an announced address answers', async () => {
    const node = await setUp({ addresses: ['/ip4/11.0.0.2/tcp/4001'] })
    const relayed = Object.assign(relayedConnection('inbound'), { newStream: async () => (await streamPair())[0] })
    node.onConnect(PEER, relayed)
    await pEvent(relayed, 'close')

    expect(node.counts).to.deep.equal({})
  })

  describe('of a relayed and a direct connection', () => {
    /** The peer's answer over the direct connection */
    let answer: PromiseWithResolvers<Stream>
    let asked: PromiseWithResolvers<void>
    let unanswered: Connection

    beforeEach(() => {
      answer = Promise.withResolvers()
      asked = Promise.withResolvers()
      unanswered = Object.assign(connection(`/ip4/11.0.0.2/tcp/4001/p2p/${PEER}`), {
        newStream: async (protocols: string[], { signal }: any) => {
          asked.resolve()

          return raceSignal(answer.promise, signal)
        }
      })
    })

    function playBoth (node: any): Record<'initiator' | 'responder', Connection> {
      const responder = dialedOverRelay(addressesOf(1)).relayed
      const initiator = relayedConnection()
      node.onConnect(PEER, responder)
      void punchWith(node, addressesOf(1), initiator)

      return { initiator, responder }
    }

    it('the relayed one is closed when the peer has answered over the direct one, not before', async () => {
      const node = await setUp({ dial: async () => unanswered })
      const ends = Object.values(playBoth(node))
      const closed = ends.map(async relayed => pEvent(relayed, 'close'))
      await until(() => node.dials.length === 2)
      await asked.promise
      expect(await Promise.race([...closed, delay(50, 'open')])).to.equal('open')

      answer.reject(new UnsupportedProtocolError('Even no is an answer'))
      await Promise.all(closed)
      expect(node.counts).to.deep.equal({ attempted: 2, succeeded: 2 })
    })

    it('the relayed one stays if the direct one closes before the peer has answered', async () => {
      const node = await setUp({ dial: async () => unanswered })
      const { initiator } = playBoth(node)
      const closed = pEvent(initiator, 'close')
      answer.reject(new ConnectionClosedError('gone'))
      await until(() => node.counts.failed_error === 2)

      expect(await Promise.race([closed, delay(0, 'open')])).to.equal('open')
      expect(node.counts).to.deep.equal({ attempted: 2, failed_error: 2 })
    })

    it('the relayed one is closed without the limit of the attempt, which may have passed', async () => {
      const node = await setUp({ timeout: 5_000 })
      const options: unknown[] = []
      const relayed = Object.assign(relayedConnection(), { close: async (option: unknown) => { options.push(option) } })
      await punchWith(node, addressesOf(1), relayed)

      expect(options).to.deep.equal([undefined])
    })

    it('a direct one that was there before and is dead does not keep the peer from being dialed', async () => {
      const node = await setUp({ connections: [unanswered] })
      const { initiator, responder } = playBoth(node)
      await Promise.all([pEvent(initiator, 'close'), pEvent(responder, 'close')])

      expect(node.counts).to.deep.equal({ attempted: 2, succeeded: 2 })
    })
  })

  it('coordinates punches with those that dialed us, and lets only those coordinate that we dialed', async () => {
    const node = await setUp()

    for (const connection of [relayedConnection('inbound'), direct]) {
      const [, ours] = await streamPair()
      await expect(node.handler(ours, connection)).to.eventually.be.rejected().with.property('name', 'DialError')
    }
  })

  describe('of 100 peers at once', () => {
    const PEERS = 100
    let node: any
    let open: number
    let most: number
    let honest: Multiaddr
    let ids: PeerId[]

    before(async () => {
      ids = await Promise.all(Array.from({ length: PEERS + 1 }, randomPeer))
    })

    /**
     * Real dials, from a real listening port, to addresses that do not answer: the public
     * ones that peers name are looked for on loopback. Only the honest peer is there
     */
    beforeEach(async () => {
      const blackhole = await startBlackhole('0.0.0.0')
      const server = await startServer()
      const { transport, listen, stop } = createTransport()
      cleanup.push(stop, async () => server.stop(), async () => blackhole.stop())
      await listen('/ip4/127.0.0.1/tcp/0')
      open = 0
      most = 0
      honest = multiaddr(`/ip4/11.255.255.255/tcp/${server.port}`)

      node = await setUp({
        timeout: 1_500,
        addresses: [],
        dial: async (ma, { signal, reusePort }) => {
          const { host, port } = getNetConfig(ma)
          const there = host === getNetConfig(honest).host ? `127.0.0.1/tcp/${port}` : `${host.replace('11.', '127.')}/tcp/${blackhole.port}`
          open++
          most = Math.max(most, open)

          try {
            return await transport.dial(multiaddr(`/ip4/${there}`), { upgrader: directUpgrader(ma), signal, reusePort })
          } finally {
            open--
          }
        }
      })
    })

    function directUpgrader (ma: Multiaddr): any {
      return { upgradeOutbound: async (raw: any) => Object.assign(connection(`${ma}`), { raw }) }
    }

    function eightOf (peer: number): string[] {
      return Array.from({ length: 8 }, (_, i) => `/ip4/11.1.${peer}.${1 + i}/tcp/4001`)
    }

    /** All but the last one name black holes, over so many relays */
    function dialOverRelays (relays: number): void {
      for (let i = 0; i < PEERS; i++) {
        node.onConnect(ids[i], dialedOverRelay(eightOf(i), ids[i], ids[i % relays]).relayed)
      }
    }

    where(REUSES_PORTS).it('dials 32 addresses at a time that peers of one relay name, and has room for the peers of another one', async () => {
      dialOverRelays(1)
      await until(() => most >= 32)
      node.onConnect(ids[PEERS], dialedOverRelay([honest.toString()], ids[PEERS], ids[1]).relayed)
      await until(() => node.counts.succeeded === 1)
      await until(() => node.counts.failed_timeout === PEERS && open === 0)

      expect(most).to.be.within(32, 33)
      expect(node.counts).to.include({ attempted: PEERS + 1, waited: PEERS - 4 })
    })

    where(REUSES_PORTS).it('dials 64 addresses at a time that peers of many relays name', async () => {
      dialOverRelays(50)
      await until(() => node.counts.failed_timeout === PEERS && open === 0)

      expect(most).to.equal(64)
    })

    where(REUSES_PORTS).it('dials 16 at a time of those that peers of one relay coordinate, 32 in all, and is there for the next one', async () => {
      const followed = async (relays: number): Promise<void> => {
        most = 0
        await Promise.all(ids.slice(1).map(async (id, i) => punchWith(node, eightOf(i), relayedConnection('outbound', id, ids[i % relays]))))
      }
      await followed(1)
      expect(most).to.equal(16)
      await followed(PEERS)
      expect(most).to.equal(32)

      await punchWith(node, [honest.toString()], relayedConnection())
      expect(node.counts).to.include({ succeeded: 1, failed_timeout: 2 * PEERS })
    })
  })

  describe('of a peer with many relayed connections', () => {
    /** One that never answers when it is asked for its addresses */
    function silent (id: PeerId = PEER): { relayed: Connection, begun: Promise<void>, over: Promise<void>, count(): number } {
      const begun = pDefer<void>()
      const over = pDefer<void>()
      let count = 0
      const relayed = Object.assign(relayedConnection('inbound', id), {
        newStream: async (): Promise<Stream> => {
          count++
          begun.resolve()

          const [ours] = await streamPair()
          ours.addEventListener('close', () => { over.resolve() })

          return ours
        }
      })

      return { relayed, begun: begun.promise, over: over.promise, count: () => count }
    }

    it('one has its turn, one waits for that, and the others are dropped', async () => {
      const node = await setUp({ timeout: 300 })
      const connections = Array.from({ length: 24 }, () => silent())
      connections.forEach(({ relayed }) => { node.onConnect(PEER, relayed) })
      await connections[0].begun
      await connections[1].begun
      await until(() => node.counts.failed_busy === 22)

      expect(connections.map(({ count }) => count())).to.deep.equal([1, 1, ...Array.from({ length: 22 }, () => 0)])
      expect(node.counts).to.deep.equal({ waited: 23, failed_busy: 22 })
    })

    it('what waits is dropped when its relayed connection closes', async () => {
      const node = await setUp({ timeout: 300 })
      const [first, second, third] = [silent(), silent(), silent()]
      node.onConnect(PEER, first.relayed)
      node.onConnect(PEER, second.relayed)
      await second.relayed.close()
      node.onConnect(PEER, third.relayed)
      await third.begun

      expect(second.count()).to.equal(0)
    })

    it('an identify push does not begin another punch over the same connection', async () => {
      const node = await setUp({ timeout: 100 })
      const [first, second] = [silent(), silent()]
      node.onConnect(PEER, first.relayed)
      node.onConnect(PEER, first.relayed)
      node.onConnect(PEER, second.relayed)
      await first.over
      await second.begun
      // the attempt ends after its stream
      await new Promise(resolve => setImmediate(resolve))
      node.onConnect(PEER, first.relayed)
      const third = silent()
      node.onConnect(PEER, third.relayed)
      await third.begun

      expect(first.count()).to.equal(1)
    })

    it('who has a direct connection is not dialed', async () => {
      const node = await setUp({ connections: [direct], addresses: ['/ip4/11.0.0.2/tcp/4001'] })
      const { relayed } = silent()
      const closing = new Promise(resolve => { relayed.addEventListener('close', resolve) })
      node.onConnect(PEER, relayed)
      await closing

      expect(node.dials).to.be.empty()
    })

    it('has room for 256 exchanges, 128 over a relay, and 500 that wait', async () => {
      const ids = await Promise.all(Array.from({ length: 128 + 510 }, randomPeer))
      const node = await setUp({ timeout: 60_000 })
      const connections = ids.map(silent)
      connections.forEach(({ relayed }, i) => { node.onConnect(ids[i], relayed) })
      await until(() => node.counts.failed_busy === 10)

      expect(node.counts.waited).to.equal(510)
      expect(connections.filter(({ count }) => count() === 1)).to.have.lengthOf(128)
      expect(node.told.filter((line: string) => line.includes(' responder 0 busy: '))).to.have.lengthOf(10)
      await node.service.stop()
      await until(() => node.told.filter((line: string) => line.includes(' responder 0 stopped: ')).length === 128)
    })
  })

  describe('addresses that are not public', () => {
    let server: TestServer
    let dialed: string[]
    let node: any

    /**
     * Real dials from a real listening port to a real server on loopback. Public addresses
     * are looked for there, too
     */
    async function setUpDials (setup: Setup = {}): Promise<void> {
      const { transport, listen, stop } = createTransport()
      server = await startServer()
      cleanup.push(stop, async () => server.stop())
      await listen('/ip4/127.0.0.1/tcp/0')
      dialed = []
      node = await setUp({
        dial: async (ma, { signal }) => {
          dialed.push(ma.toString())
          const there = isPublic(getNetConfig(ma).host) ? multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`) : ma

          return transport.dial(there, { upgrader: rawUpgrader(), signal })
        },
        ...setup
      })
    }

    const NAMES = ['/dns4/localhost', '/dns/localhost', '/dns4/127.0.0.1', '/dns4/10.0.0.1', '/dns4/169.254.169.254', '/dns/0.0.0.0', '/dns6/::1']
    const LITERALS = ['/ip4/127.0.0.1', '/ip4/10.0.0.1', '/ip6/64:ff9b::7f00:1', '/ip6/fec0::1', '/ip4/224.0.0.1', '/ip6/ff02::1', '/ip6/::ffff:127.0.0.1', '/ip6/2002:7f00:1::1']

    function withPort (addresses: string[]): string[] {
      return addresses.map(address => `${address}/tcp/${server.port}`)
    }

    it('are not dialed in a punch, whether a peer names them or a name leads there', async () => {
      await setUpDials({ timeout: 300 })

      await punchWith(node, withPort(NAMES), relayedConnection())
      expect(node.error).to.be.an('error')
      await punchWith(node, withPort(LITERALS), relayedConnection())
      expect(node.error).to.have.property('message').that.includes('None of the addresses')

      expect(dialed).to.be.empty()
      expect(server.sockets).to.be.empty()
    })

    it('are not dialed before a punch either', async () => {
      await setUpDials()
      const { relayed, begun } = dialedOverRelay([])
      node.addresses.push(...withPort([...NAMES, ...LITERALS]))
      node.onConnect(PEER, relayed)
      await begun

      expect(dialed).to.be.empty()
      expect(server.sockets).to.be.empty()
    })

    it('a name that leads to a public address is dialed as that address', async () => {
      await setUpDials()
      await punchWith(node, [`/dns4/11.0.0.2/tcp/${server.port}`], relayedConnection())
      await server.socket(0)

      expect(dialed).to.deep.equal([`/ip4/11.0.0.2/tcp/${server.port}/p2p/${PEER}`])
    })

    it('the gater is asked for what a name leads to', async () => {
      await setUpDials({ timeout: 300, deny: '/ip4/11.0.0.2' })
      await punchWith(node, [`/dns4/11.0.0.2/tcp/${server.port}`], relayedConnection())

      expect(dialed).to.be.empty()
      expect(node.error).to.be.an('error')
    })

    it('a name counts for as many dials as it may come to', async () => {
      await setUpDials({
        timeout: 1_000,
        dial: async (ma, { signal }) => {
          dialed.push(ma.toString())

          return new Promise((resolve, reject) => { signal.addEventListener('abort', () => { reject(signal.reason) }) })
        }
      })
      await punchWith(node, [...addressesOf(3), ...[5, 6, 7, 8, 9].map(i => `/dns/11.0.1.${i}/tcp/4001`), ...addressesOf(5)], relayedConnection())

      expect(dialed).to.have.lengthOf(3 + 2 + 1)
    })

    it('no other transport is asked to look up a name', async () => {
      await setUpDials({ timeout: 300 })
      await punchWith(node, [`/dns4/11.0.0.2/tcp/${server.port}/ws`, `/ip4/11.0.0.2/tcp/${server.port}/tls/sni/localhost/ws`], relayedConnection()).catch(() => {})

      expect(dialed).to.be.empty()
    })
  })

  describe('after stop()', () => {
    let never: Array<PromiseWithResolvers<Connection>>
    let aborted: number

    /** Dials that do not end, unless the signal ends them */
    const hang: Dial = async (_, { signal }) => {
      const dialing = Promise.withResolvers<Connection>()
      never.push(dialing)
      signal.addEventListener('abort', () => {
        aborted++
        dialing.reject(new Error('aborted'))
      })

      return dialing.promise
    }

    beforeEach(() => {
      never = []
      aborted = 0
    })

    it('a plain dial, the punch beside it and the attempts that would follow end', async () => {
      const node = await setUp({ dial: hang, timeout: 60_000, retries: 3, addresses: ['/ip4/11.0.0.2/tcp/4001'] })
      const { relayed, count } = dialedOverRelay(addressesOf(2))
      node.onConnect(PEER, relayed)
      await until(() => never.length === 3)
      await node.service.stop()
      await until(() => aborted === 3)
      await new Promise(resolve => setTimeout(resolve, 100))

      expect(never).to.have.lengthOf(3)
      expect(count()).to.equal(1)
    })

    it('punches in both roles end', async () => {
      const node = await setUp({ dial: hang, timeout: 60_000, retries: 3 })
      const { relayed, count } = dialedOverRelay(addressesOf(2))
      node.onConnect(PEER, relayed)
      const followed = punchWith(node, addressesOf(2), relayedConnection('outbound', OTHER))
      await until(() => never.length === 4)
      await node.service.stop()
      await followed

      expect(aborted).to.equal(4)
      expect(node.error).to.have.property('name', 'AbortError')
      expect(count()).to.equal(1)
    })

    it('the exchange with a silent peer ends, and what waits for it, in both roles', async () => {
      const node = await setUp({ timeout: 60_000, retries: 3 })
      const streams: Stream[] = []
      const first = Object.assign(relayedConnection('inbound'), {
        newStream: async (): Promise<Stream> => {
          const [ours] = await streamPair()
          streams.push(ours)

          return ours
        }
      })
      const second = dialedOverRelay(addressesOf(1))
      node.onConnect(PEER, first)
      node.onConnect(PEER, second.relayed)
      await until(() => streams.length === 1)
      const [, ours] = await streamPair()
      const followed = node.handler(ours, relayedConnection())
      await node.service.stop()
      await expect(followed).to.eventually.be.rejected()
      await until(() => streams[0].status === 'aborted')
      await new Promise(resolve => setTimeout(resolve, 100))

      expect(streams).to.have.lengthOf(1)
      expect(second.count()).to.equal(0)
    })

    it('a connection that is made all the same is closed', async () => {
      const late = Object.assign(connection(`/ip4/11.0.0.2/tcp/4001/p2p/${PEER}`), { abort: () => { aborted++ } })
      const dialing = Promise.withResolvers<Connection>()
      const node = await setUp({ dial: async () => dialing.promise })
      const punching = punchWith(node, addressesOf(1), relayedConnection())
      await until(() => node.dials.length === 1)
      await node.service.stop()
      dialing.resolve(late)
      await punching
      await until(() => aborted === 1)
    })

    it('it stops again, and starts again', async () => {
      const node = await setUp({ dial: async (ma, options) => node.dials.length === 1 ? hang(ma, options) : direct })
      const punching = punchWith(node, addressesOf(1), relayedConnection())
      await until(() => node.dials.length === 1)
      await node.service.stop()
      await node.service.stop()
      await punching
      await node.service.start()
      await node.service.start()
      await punchWith(node, addressesOf(1), relayedConnection())

      expect(node.counts).to.include({ attempted: 2, succeeded: 1 })
    })
  })

  describe('when no peer has told at which address it sees the listening port', () => {
    const relay = Object.assign(connection(`/ip4/11.0.0.1/tcp/4001/p2p/${OTHER}`), { remotePeer: OTHER })
    const once = Object.assign(connection(`/ip4/11.0.0.1/tcp/4001/p2p/${OTHER}`), { id: 'once more', remotePeer: OTHER })

    /** The relay is dialed once more, and says at which address it sees that */
    function setUpToLearn (setup: Setup = {}): Setup {
      const events = new TypedEventEmitter<Libp2pEvents>()
      const observed: any[] = []

      return {
        events,
        observed,
        listening: ['/ip4/127.0.0.1/tcp/4001', '/ip4/192.168.1.9/tcp/4001'],
        connections: [relay],
        dial: async ma => {
          if (!ma.equals(relay.remoteAddr)) {
            return direct
          }

          setTimeout(() => {
            observed.push({ ...endpoint(['/ip4/11.0.0.7/tcp/4001', 1]), current: true })
            events.safeDispatchEvent('peer:identify', { detail: { connection: once } as any })
          })

          return once
        },
        ...setup
      }
    }

    const ASKED = { address: `/ip4/11.0.0.1/tcp/4001/p2p/${OTHER}`, reusePort: 'require' }

    it('asks the relay before it offers its addresses to who coordinates, once', async () => {
      const node = await setUp(setUpToLearn())
      const candidates = node.service.candidates.bind(node.service)
      const offered: string[] = []
      node.service.candidates = () => {
        const result = candidates()
        offered.push(...result.map(String))

        return result
      }

      await punchWith(node, ['/ip4/11.0.0.2/tcp/4001'], relayedConnection())
      await punchWith(node, ['/ip4/11.0.0.2/tcp/4001'], relayedConnection())
      expect(node.dials.map(({ address, reusePort }: any) => ({ address, reusePort })).slice(0, 2)).to.deep.equal([
        ASKED,
        { address: `/ip4/11.0.0.2/tcp/4001/p2p/${PEER}`, reusePort: 'require' }
      ])
      expect(node.dials).to.have.lengthOf(3)
      expect(offered).to.include(`/ip4/11.0.0.7/tcp/4001/p2p/${US}`)
      expect(node.counts).to.include({ address_learned: 1 })
    })

    it('asks it as soon as it has dialed somebody over a relay, so that the answer is there in time', async () => {
      const events = new TypedEventEmitter<Libp2pEvents>()
      const { dials } = await setUp(setUpToLearn({ events }))

      events.safeDispatchEvent('connection:open', { detail: connection('/ip4/11.0.0.5/tcp/4001') })
      events.safeDispatchEvent('connection:open', { detail: relayedConnection('inbound') })
      expect(dials).to.be.empty()

      events.safeDispatchEvent('connection:open', { detail: relayedConnection() })
      await until(() => dials.length > 0)
      expect(dials).to.deep.equal([ASKED])
    })

    it('asks it from an ephemeral port if the NAT counts, as the next port is the same for all', async () => {
      const counting = { ...endpoint(['/ip4/11.0.0.7/tcp/50001', 1]), current: false, next: [multiaddr('/ip4/11.0.0.7/tcp/50002')] }
      const { dials } = await punch(setUpToLearn({ observed: [counting] }), ['/ip4/11.0.0.2/tcp/4001'])

      expect(dials[0]).to.deep.equal({ ...ASKED, reusePort: false })
    })

    it('asks nobody whom the gater denies, and punches all the same', async () => {
      const { counts, dials } = await punch(setUpToLearn({ deny: '/ip4/11.0.0.1' }), ['/ip4/11.0.0.2/tcp/4001'])

      expect(dials.map(({ address }: any) => address)).to.deep.equal([`/ip4/11.0.0.2/tcp/4001/p2p/${PEER}`])
      expect(counts).to.include({ address_not_learned: 1, succeeded: 1 })
    })

    it('asks nobody if it listens on loopback only', async () => {
      const { dials } = await punch(setUpToLearn({ listening: ['/ip4/127.0.0.1/tcp/4001'] }), ['/ip4/11.0.0.2/tcp/4001'])

      expect(dials).to.have.lengthOf(1)
    })
  })

  where(REUSES_PORTS).it('does not keep the relayed connection in memory with the direct one', async () => {
    const server = await startServer()
    const { transport, listen, stop } = createTransport()
    cleanup.push(stop, async () => server.stop())
    await listen('/ip4/127.0.0.1/tcp/0')
    let opened: any
    const node = await setUp({
      dial: async (ma, options) => {
        opened = await transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`), { upgrader: rawUpgrader(), ...options })
        cleanup.push(async () => { opened.abort(new Error('The test is over')) })

        return direct
      }
    })
    const relayed = await (async () => {
      const connection = relayedConnection()
      await punchWith(node, addressesOf(1), connection)

      return new WeakRef(connection)
    })()

    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc')
    await until(() => {
      collectGarbage()

      return relayed.deref() == null
    })
    expect(opened).to.have.property('status', 'open')
    expect(node.counts).to.deep.equal({ attempted: 1, succeeded: 1 })
  })

  it('offers what is announced and what peers observe, but not what a stranger claims', async () => {
    const { service } = await setUp({
      observed: [endpoint(['/ip4/11.0.0.8/tcp/2', 1], ['/ip4/11.6.6.6/tcp/666', 3, 0])]
    })

    expect(service.candidates().map(String)).to.deep.equal(
      ['/ip4/11.0.0.8/tcp/2', '/ip4/11.0.0.9/tcp/4001', '/ip4/192.168.1.9/tcp/4001'].map(address => `${address}/p2p/${US}`)
    )
  })
})
