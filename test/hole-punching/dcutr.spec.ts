import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { defaultLogger } from '@libp2p/logger'
import { peerIdFromString } from '@libp2p/peer-id'
import { getNetConfig, lpStream, streamPair } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { TypedEventEmitter } from 'main-event'
import pDefer from 'p-defer'
import { dcutr } from '../../src/hole-punching/dcutr.ts'
import { connectMessage, SYNC } from '../fixtures/dcutr-messages.ts'
import { startBlackhole, startServer } from '../fixtures/server.ts'
import { createTransport, rawUpgrader } from '../kit/transport.ts'
import { until } from '../kit/wait.ts'
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
  const RELAYED_ADDRESS = `/ip4/11.0.0.1/tcp/4001/p2p/${OTHER}/p2p-circuit/p2p/${PEER}`
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
      direction,
      close: async () => {
        events.safeDispatchEvent('close')
      },
      abort: () => {}
    }) as any
  }

  /**
   * A connection over the relay, which we have dialed unless the direction says otherwise
   */
  function relayedConnection (direction?: Connection['direction']): Connection {
    return connection(RELAYED_ADDRESS, direction)
  }

  function endpoint (...observed: Array<[address: string, observers: number, dialed?: number]>): any {
    return {
      local: multiaddr('/ip4/0.0.0.0/tcp/4001'),
      mapping: 'unknown',
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
    listening?: string[]
    connections?: Connection[]
    events?: TypedEventEmitter<Libp2pEvents>
  }

  async function setUp ({ dial = async () => direct, addresses = [], observed = [], listening = [], connections = [], events = new TypedEventEmitter(), deny, denyPeer = false, transport = 'libp2p-reuseport-tcp', timeout = 5_000 }: Setup = {}): Promise<any> {
    const dials: any[] = []
    const counts: Record<string, number> = {}
    const found: any = { dials, counts }

    const service: any = dcutr({ retries: 1, timeout })({
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
        handle: async (protocol: string, handler: any) => { found.handler = handler }
      },
      transportManager: {
        getTransports: () => [{ [Symbol.toStringTag]: transport, observed: () => observed }],
        getAddrs: () => listening.map(address => multiaddr(address)),
        dialTransportForMultiaddr: () => ({}),
        dial: async (ma: Multiaddr, { signal, ...options }: any) => {
          dials.push({ address: ma.toString(), ...options })

          return dial(ma, { signal, ...options })
        }
      },
      metrics: {
        registerCounterGroup: () => ({
          increment: (values: Record<string, true>) => { Object.keys(values).forEach(name => { counts[name] = (counts[name] ?? 0) + 1 }) }
        })
      }
    } as any)

    await service.start()

    return Object.assign(found, { service })
  }

  /**
   * Plays a peer that we have dialed over the relay, and that names these addresses
   */
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
  function dialedOverRelay (addresses: string[]): { relayed: Connection, begun: Promise<void> } {
    const begun = pDefer<void>()
    const relayed = Object.assign(relayedConnection('inbound'), {
      newStream: async (): Promise<Stream> => {
        begun.resolve()
        const [ours, theirs] = await streamPair()
        const messages = lpStream(theirs)
        messages.read()
          .then(async () => messages.write(connectMessage(addresses)))
          .catch(() => {})

        return ours
      }
    })

    return { relayed, begun: begun.promise }
  }

  function addressesOf (count: number): string[] {
    return Array.from({ length: count }, (_, i) => `/ip4/11.0.1.${i}/tcp/4001`)
  }

  it('needs the transport of this package', async () => {
    await expect(setUp({ transport: '@libp2p/tcp' })).to.eventually.be.rejected()
      .with.property('message', 'libp2p-reuseport-tcp/dcutr needs reuseportTcp() among the transports')
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
    const { counts, dials, error } = await punch({ deny: '/ip4/' }, addressesOf(2))

    expect(error).to.have.property('name', 'DialError')
    expect(dials).to.be.empty()
    expect(counts).to.deep.equal({})
  })

  it('does not begin if the gater denies the peer', async () => {
    const { dials, error } = await punch({ denyPeer: true }, addressesOf(2))

    expect(error).to.have.property('name', 'DialError')
    expect(dials).to.be.empty()
  })

  it('counts what became of each hole punch', async () => {
    const fail = (properties: object): Dial => async () => { throw Object.assign(new Error('no'), properties) }
    const countOf = async (dial: Dial): Promise<object> => (await punch({ dial }, addressesOf(1))).counts

    expect(await Promise.all([
      countOf(async () => direct),
      countOf(fail({ code: 'ECONNREFUSED' })),
      countOf(fail({ code: 'ECONNRESET' })),
      countOf(fail({ code: 'ETIMEDOUT' })),
      countOf(fail({ name: 'AbortError' })),
      countOf(fail({ code: 'EHOSTUNREACH' }))
    ])).to.deep.equal([
      { attempted: 1, succeeded: 1 },
      { attempted: 1, failed_refused: 1 },
      { attempted: 1, failed_refused: 1 },
      { attempted: 1, failed_timeout: 1 },
      { attempted: 1, failed_timeout: 1 },
      { attempted: 1, failed_error: 1 }
    ])
  })

  it('dials the announced addresses of who dialed us first, from an ephemeral port, and only then punches, as the responder', async () => {
    const node = await setUp({
      addresses: ['/ip4/11.0.0.2/tcp/4001', '/ip4/192.168.1.2/tcp/4001'],
      dial: async ma => {
        if (node.dials.length === 1) {
          throw new Error('nobody gets in there')
        }

        return direct
      }
    })
    const [ours, theirs] = await streamPair()
    node.onConnect(PEER, Object.assign(relayedConnection('inbound'), { newStream: async (): Promise<Stream> => ours }))

    const messages = lpStream(theirs)
    await messages.read()
    await messages.write(connectMessage(['/ip4/11.0.0.2/tcp/5001']))
    await messages.read()
    await expect(messages.read()).to.eventually.be.rejected()

    expect(node.dials).to.deep.equal([
      { address: `/ip4/11.0.0.2/tcp/4001/p2p/${PEER}`, reusePort: false },
      { address: `/ip4/11.0.0.2/tcp/5001/p2p/${PEER}`, initiator: false, reusePort: 'require' }
    ])
    expect(node.counts).to.deep.equal({ attempted: 1, succeeded: 1 })
  })

  it('coordinates punches with those that dialed us, and lets only those coordinate that we dialed', async () => {
    const node = await setUp()

    for (const connection of [relayedConnection('inbound'), direct]) {
      const [, ours] = await streamPair()
      await expect(node.handler(ours, connection)).to.eventually.be.rejected().with.property('name', 'DialError')
    }
  })

  describe('of 250 peers at once', () => {
    const PEERS = 250
    let node: any
    let open: number
    let most: number
    let honest: Multiaddr

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
        timeout: 200,
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
      return { upgradeOutbound: async (raw: any) => Object.assign(connection(`${ma}/p2p/${PEER}`), { raw }) }
    }

    function eightOf (peer: number): string[] {
      return Array.from({ length: 8 }, (_, i) => `/ip4/11.${1 + (peer >> 8)}.${peer & 255}.${1 + i}/tcp/4001`)
    }

    it('dials a hundred addresses at a time at most when it coordinates, and each has its turn', async () => {
      const peers = Array.from({ length: PEERS }, (_, i) => dialedOverRelay(eightOf(i)))

      for (const { relayed } of peers) {
        node.onConnect(PEER, relayed)
        // as after an identify push
        node.onConnect(PEER, relayed)
      }

      const last = dialedOverRelay([honest.toString()])
      node.onConnect(PEER, last.relayed)
      await last.begun
      await until(() => node.counts.succeeded === 1, 30_000)
      await until(() => open === 0)

      expect(most).to.be.within(8, 100)
      expect(node.counts).to.include({ attempted: PEERS + 1, failed_timeout: PEERS, waited: PEERS + 1 - 8 })
    })

    it('drops those that wait and whose relayed connection closes', async () => {
      const peers = Array.from({ length: PEERS }, (_, i) => dialedOverRelay(eightOf(i)))
      peers.forEach(({ relayed }) => { node.onConnect(PEER, relayed) })
      await Promise.all(peers.slice(8).map(async ({ relayed }) => relayed.close()))

      const last = dialedOverRelay([honest.toString()])
      node.onConnect(PEER, last.relayed)
      await until(() => node.counts.succeeded === 1, 30_000)

      expect(node.counts.attempted).to.equal(8 + 1)
    })

    it('has room for five hundred, and counts whom it turns away', async () => {
      const peers = Array.from({ length: 510 }, (_, i) => dialedOverRelay(eightOf(i)))
      peers.forEach(({ relayed }) => { node.onConnect(PEER, relayed) })
      await until(() => node.counts.failed_busy === 10)
      await Promise.all(peers.map(async ({ relayed }) => relayed.close()))
      await until(() => open === 0)
    })

    it('refuses what is too much when they coordinate, and is there for the next one', async () => {
      await Promise.all(Array.from({ length: PEERS }, async (_, i) => punchWith(node, eightOf(i), relayedConnection())))

      expect(most).to.be.within(8, 100)
      expect(node.counts.failed_timeout + node.counts.failed_busy).to.equal(PEERS)
      expect(node.counts.failed_timeout).to.equal(node.counts.attempted)

      await punchWith(node, [honest.toString()], relayedConnection())
      expect(node.counts.succeeded).to.equal(1)
    })
  })

  describe('when no peer has told at which address it sees the listening port', () => {
    const relay = Object.assign(connection(`/ip4/11.0.0.1/tcp/4001/p2p/${OTHER}`), { remotePeer: OTHER })
    const once = Object.assign(connection(`/ip4/11.0.0.1/tcp/4001/p2p/${OTHER}`), { id: 'once more', remotePeer: OTHER })

    /**
     * The relay is dialed once more, and says at which address it sees that
     */
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

  it('does not keep the relayed connection in memory with the direct one', async () => {
    const server = await startServer()
    const { transport, listen, stop } = createTransport()
    cleanup.push(stop, async () => server.stop())
    await listen('/ip4/127.0.0.1/tcp/0')
    let opened: any
    const node = await setUp({
      dial: async (ma, { signal, reusePort }) => {
        opened = await transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`), { upgrader: rawUpgrader(), signal, reusePort })
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
      ['/ip4/11.0.0.9/tcp/4001', '/ip4/11.0.0.8/tcp/2', '/ip4/192.168.1.9/tcp/4001'].map(address => `${address}/p2p/${US}`)
    )
  })
})
