import net from 'node:net'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { createLibp2p } from 'libp2p'
import { TypedEventEmitter } from 'main-event'
import pDefer from 'p-defer'
import { startServer } from '../fixtures/server.ts'
import { HAS_MORE_LOOPBACK, REUSES_PORTS, where } from '../fixtures/system.ts'
import { createTransport, rawUpgrader } from '../kit/transport.ts'
import { until } from '../kit/wait.ts'
import type { DcutrComponents } from '../../src/dcutr/service.ts'
import type { RawConnection } from '../../src/index.ts'
import type { TestTransport } from '../kit/transport.ts'
import type { Libp2pEvents, MultiaddrConnection } from '@libp2p/interface'
import type { Socket } from 'node:net'

const PEER = '12D3KooWJRSrypvnpHgc6ZAgyCni4KcSmbV7uGRaMw5LgMKT18fq'

/**
 * Connections are real ones, to peers at different loopback addresses; what the
 * peers say in identify is made up, as no address here is public
 */
describe('observed addresses', () => {
  const cleanup: Array<() => Promise<unknown>> = []
  let events: TypedEventEmitter<Libp2pEvents>
  let handedOver: string[]
  let local: TestTransport
  let port: number

  beforeEach(async () => {
    events = new TypedEventEmitter()
    handedOver = []
    local = createTransport({}, { events, addressManager: { addObservedAddr: ma => { handedOver.push(ma.toString()) } } })
    cleanup.push(async () => local.stop())
    port = (await local.listen('/ip4/0.0.0.0/tcp/0')).port
  })

  afterEach(async () => {
    await Promise.all(cleanup.splice(0).map(async fn => fn()))
  })

  async function connectTo (host: string, options = {}): Promise<RawConnection> {
    const server = await startServer(host)
    cleanup.push(async () => server.stop())

    return (await local.connect(`/ip4/${host}/tcp/${server.port}`, options)).connection
  }

  function identify ({ timeline }: MultiaddrConnection, observedAddr: string): void {
    events.safeDispatchEvent('peer:identify', {
      detail: { connection: { timeline }, observedAddr: multiaddr(observedAddr) } as any
    })
  }

  function observed (): any {
    return local.transport.observed().map(({ local, mapping, addresses }) => ({
      local: local.toString(),
      mapping,
      addresses: addresses.map(({ multiaddr, observers }) => `${multiaddr} ${observers}`)
    }))
  }

  where(REUSES_PORTS && HAS_MORE_LOOPBACK).it('are handed to the address manager once, when four observers agree', async () => {
    for (let i = 1; i <= 6; i++) {
      expect(handedOver).to.have.lengthOf(i <= 4 ? 0 : 1)
      identify(await connectTo(`127.0.0.${i}`), `/ip4/11.0.0.9/tcp/4001/p2p/${PEER}`)
      expect(local.transport.observed()[0].addresses[0]).to.have.property('agreed', i >= 4)
    }

    expect(handedOver).to.deep.equal(['/ip4/11.0.0.9/tcp/4001'])
    expect(observed()).to.deep.equal([{
      local: `/ip4/0.0.0.0/tcp/${port}`,
      mapping: 'endpoint-independent',
      addresses: ['/ip4/11.0.0.9/tcp/4001 6']
    }])
  })

  where(REUSES_PORTS && HAS_MORE_LOOPBACK).it('show a NAT that maps us to another port for each peer. Our port may be forwarded', async () => {
    for (let i = 1; i <= 4; i++) {
      identify(await connectTo(`127.0.0.${i}`), `/ip4/11.0.0.9/tcp/${5000 + i}`)
    }

    expect(observed()[0]).to.have.property('mapping', 'endpoint-dependent')
    expect(handedOver).to.deep.equal([`/ip4/11.0.0.9/tcp/${port}`])
  })

  it('are only those of connections from a listening port', async () => {
    identify(await connectTo('127.0.0.1', { reusePort: false }), '/ip4/11.0.0.9/tcp/4001')

    expect(observed()).to.be.empty()
  })

  where(REUSES_PORTS && HAS_MORE_LOOPBACK).it('are told by events when they are found or gone, with the NAT mapping', async () => {
    const { listener, port } = await local.listen('/ip4/127.0.0.1/tcp/0')
    const told: string[] = []
    local.transport.addEventListener('external-address:found', ({ detail }) => { told.push(`${detail.external} found of ${detail.local}`) })
    local.transport.addEventListener('external-address:gone', ({ detail }) => { told.push(`${detail.external} gone of ${detail.local}`) })
    local.transport.addEventListener('nat-mapping:update', ({ detail }) => { told.push(`${detail.mapping} of ${detail.local}`) })
    const first = await connectTo('127.0.0.1')

    identify(first, '/ip4/11.0.0.9/tcp/4001')
    identify(first, '/ip4/11.0.0.9/tcp/4001')
    identify(await connectTo('127.0.0.2'), '/ip4/11.0.0.9/tcp/4001')
    identify(first, '/ip4/11.0.0.9/tcp/4002')
    await listener.close()

    expect(told).to.deep.equal([
      '/ip4/11.0.0.9/tcp/4001 found',
      'endpoint-independent',
      '/ip4/11.0.0.9/tcp/4002 found',
      'unknown',
      '/ip4/11.0.0.9/tcp/4001 gone',
      '/ip4/11.0.0.9/tcp/4002 gone'
    ].map(line => `${line} of /ip4/127.0.0.1/tcp/${port}`))
  })

  it('come from inbound connections as well', async () => {
    const accepted = pDefer<MultiaddrConnection>()
    const peer = createTransport()
    cleanup.push(async () => peer.stop())
    const { port } = await local.listen('/ip4/127.0.0.1/tcp/0', rawUpgrader(connection => { accepted.resolve(connection) }))
    await peer.connect(`/ip4/127.0.0.1/tcp/${port}`)
    identify(await accepted.promise, '/ip4/11.0.0.9/tcp/4001')

    expect(observed()).to.deep.equal([{ local: `/ip4/127.0.0.1/tcp/${port}`, mapping: 'unknown', addresses: ['/ip4/11.0.0.9/tcp/4001 1'] }])
  })

  it('are not those of a connection that has closed already', async () => {
    const connection = await connectTo('127.0.0.1')
    connection.abort(new Error('closed'))
    identify(connection, '/ip4/11.0.0.9/tcp/4001')

    expect(observed()).to.be.empty()
  })

  where(REUSES_PORTS).it('are not those of another connection to the same peer, from an ephemeral port', async () => {
    const server = await startServer('127.0.0.1')
    cleanup.push(async () => server.stop())
    const address = `/ip4/127.0.0.1/tcp/${server.port}`

    identify((await local.connect(address)).connection, '/ip4/11.0.0.9/tcp/4001')
    const { connection, source } = await local.connect(address)
    expect(source).to.have.property('kind', 'ephemeral')
    identify(connection, '/ip4/11.0.0.9/tcp/55555')

    expect(observed()[0].addresses).to.deep.equal(['/ip4/11.0.0.9/tcp/4001 1'])
  })

  it('are public TCP addresses of the same family, or ignored', async () => {
    const connection = await connectTo('127.0.0.1')

    for (const addr of ['/ip4/127.0.0.1/tcp/4001', '/ip4/10.0.0.1/tcp/4001', '/ip4/224.0.0.1/tcp/4001', '/ip4/11.0.0.9/tcp/0', '/ip4/11.0.0.9/udp/4001', '/ip6/2b00::1/tcp/4001', '/dns4/example.com/tcp/4001', '/ip4/11.0.0.9/tcp/4001/ws']) {
      identify(connection, addr)
    }

    expect(observed()).to.be.empty()
  })

  describe('of a listener that has closed', () => {
    where(REUSES_PORTS).it('are not reported, nor taken from connections that were dialed from it', async () => {
      const { listener, port } = await local.listen('/ip4/127.0.0.1/tcp/0')
      const server = await startServer()
      cleanup.push(async () => server.stop())
      const { connection } = await local.connect(`/ip4/127.0.0.1/tcp/${server.port}`)
      expect((await server.socket(0)).remotePort).to.equal(port)

      identify(connection, '/ip4/11.0.0.9/tcp/4001')
      expect(observed()).to.have.lengthOf(1)

      await listener.close()
      expect(connection.status).to.equal('open')
      expect(observed()).to.be.empty()

      identify(connection, '/ip4/11.0.0.8/tcp/4001')
      await local.listen(`/ip4/127.0.0.1/tcp/${port}`)
      expect(observed()).to.deep.equal([{ local: `/ip4/127.0.0.1/tcp/${port}`, mapping: 'unknown', addresses: ['/ip4/11.0.0.9/tcp/4001 1'] }])
    })

    it('are those of one that is only paused', async () => {
      const paused = createTransport({ closeServerOnMaxConnections: { closeAbove: 1, listenBelow: 1 } }, { events })
      cleanup.push(async () => paused.stop())
      const connections: MultiaddrConnection[] = []
      const { listener, port } = await paused.listen('/ip4/127.0.0.1/tcp/0', rawUpgrader(connection => { connections.push(connection) }))
      const peer = createTransport()
      cleanup.push(async () => peer.stop())
      await peer.connect(`/ip4/127.0.0.1/tcp/${port}`)
      await until(() => connections.length === 1 && listener.getAddrs().length === 0)
      identify(connections[0], '/ip4/11.0.0.9/tcp/4001')

      expect(paused.transport.observed()).to.have.lengthOf(1)
    })
  })

  /** The real one, with its ten slots */
  describe('and AutoNAT', () => {
    const V1 = '/libp2p/autonat/1.0.0'
    const V2 = '/libp2p/autonat/2/dial-request'
    const asked: string[] = []
    let topologies: Record<string, object[]>

    beforeEach(async () => {
      asked.length = 0
      topologies = {}
      await local.stop()

      const connected = (name: string, protocols: string[], connection: object = {}): object => ({ remotePeer: { name, protocols }, remoteAddr: multiaddr('/ip4/13.0.0.1/tcp/4001'), status: 'open', ...connection })
      const components: any = {
        events,
        addressManager: { addObservedAddr: (ma: unknown) => { handedOver.push(`${ma}`) } },
        registrar: { getTopologies: (protocol: string) => topologies[protocol] ?? [] },
        connectionManager: {
          getConnections: () => [
            connected('server', [V2]),
            connected('other', ['/ipfs/ping/1.0.0']),
            connected('closing server', [V2], { status: 'closing' }),
            connected('relayed server', [V2], { limits: {} })
          ]
        },
        peerStore: { get: async (peer: object) => peer }
      }
      local = createTransport({}, components)
      cleanup.push(async () => local.stop())
      await local.listen('/ip4/0.0.0.0/tcp/0')
    })

    async function agree (): Promise<void> {
      for (let i = 1; i <= 4; i++) {
        identify(await connectTo(`127.0.0.${i}`), '/ip4/11.0.0.9/tcp/4001')
      }

      await new Promise(resolve => setImmediate(resolve))
    }

    where(REUSES_PORTS && HAS_MORE_LOOPBACK).it('v1 is not given any, as it would lose connections, but whoever asks for them is', async () => {
      topologies[V1] = [{}]
      await agree()

      expect(handedOver).to.be.empty()
      expect(observed()[0].addresses).to.deep.equal(['/ip4/11.0.0.9/tcp/4001 4'])
    })

    where(REUSES_PORTS && HAS_MORE_LOOPBACK).it('v2 is told of the servers that are connected directly, when it is given one', async () => {
      topologies[V2] = [{ onConnect: (peer: { name: string }) => { asked.push(peer.name) } }]
      await agree()

      expect(handedOver).to.deep.equal(['/ip4/11.0.0.9/tcp/4001'])
      expect(asked).to.deep.equal(['server'])
    })
  })

  where(REUSES_PORTS && HAS_MORE_LOOPBACK).describe('in the address manager of libp2p', () => {
    const TRUE_ADDRESS = '/ip4/11.0.0.9/tcp/4001'
    let addressManager: NonNullable<DcutrComponents['addressManager']>
    let components: any
    let accepted: MultiaddrConnection[]

    beforeEach(async () => {
      components = (await createLibp2p({ start: false }) as any).components
      addressManager = components.addressManager
      await local.stop()
      local = createTransport({}, { events, addressManager })
      cleanup.push(async () => local.stop())
      accepted = []
      port = (await local.listen('/ip4/0.0.0.0/tcp/0', rawUpgrader(connection => { accepted.push(connection) }))).port
    })

    function held (): string[] {
      return addressManager.getObservedAddrs().map(String)
    }

    async function acceptFrom (host: string): Promise<MultiaddrConnection> {
      const socket: Socket = net.connect({ port, host: '127.0.0.1', localAddress: host })
      socket.on('error', () => {})
      cleanup.push(async () => { socket.destroy() })
      const count = accepted.length
      await until(() => accepted.length > count)

      return accepted[count]
    }

    async function all <T extends MultiaddrConnection> (hosts: string[], connect: (host: string) => Promise<T>): Promise<T[]> {
      const connections: T[] = []

      for (const host of hosts) {
        connections.push(await connect(host))
      }

      return connections
    }

    const FOUR = ['127.0.0.11', '127.0.0.12', '127.0.0.13', '127.0.0.14']
    const OTHER_FOUR = ['127.0.0.21', '127.0.0.22', '127.0.0.23', '127.0.0.24']

    function claim (connections: MultiaddrConnection[], address: string): void {
      connections.forEach(connection => { identify(connection, address) })
    }

    it('are one at most, whatever hosts claim that dialed us, and the true one gets in', async () => {
      const liars = await all(FOUR, acceptFrom)

      for (let i = 0; i < 30; i++) {
        claim(liars, `/ip4/11.6.6.6/tcp/${1 + i}`)
        expect(held()).to.deep.equal(['/ip4/11.6.6.6/tcp/1'])
      }

      claim(await all(OTHER_FOUR, connectTo), TRUE_ADDRESS)
      expect(held()).to.deep.equal(['/ip4/11.6.6.6/tcp/1', TRUE_ADDRESS])

      for (const first of [30, 40, 50, 60]) {
        claim(await all([0, 1, 2, 3, 4, 5].map(host => `127.0.0.${first + host}`), acceptFrom), `/ip4/11.6.6.7/tcp/${first}`)
        expect(held()).to.deep.equal(['/ip4/11.6.6.6/tcp/1', TRUE_ADDRESS])
      }
    })

    it('are two at most that dialed peers name: those on which most of them agree', async () => {
      for (const [i, first] of [30, 40, 50].entries()) {
        claim(await all([0, 1, 2, 3, 4, 5].slice(i).map(host => `127.0.0.${first + host}`), connectTo), `/ip4/11.0.0.${first}/tcp/4001`)
      }

      expect(held()).to.deep.equal(['/ip4/11.0.0.30/tcp/4001', '/ip4/11.0.0.40/tcp/4001'])
    })

    it('follow a NAT that maps us to another port after a restart, although the one before was verified', async () => {
      // a host behind a NAT, as the address manager looks at it
      const inside = [multiaddr(`/ip4/192.168.1.2/tcp/${port}`)]
      Object.assign(components.transportManager, { getAddrs: () => inside, getListeners: () => [{ getAddrs: () => inside }] })

      const peers = await all(FOUR, connectTo)
      claim(peers, TRUE_ADDRESS)
      addressManager.confirmObservedAddr(multiaddr(TRUE_ADDRESS))
      expect(addressManager.getAddresses().map(ma => `${ma.decapsulate('/p2p')}`)).to.include(TRUE_ADDRESS)
      peers.forEach(peer => { peer.abort(new Error('The NAT restarts')) })
      claim(await all(FOUR, connectTo), '/ip4/11.0.0.9/tcp/50001')

      const announced = addressManager.getAddressesWithMetadata().map(({ multiaddr }) => multiaddr.toString())
      expect(announced).to.include('/ip4/11.0.0.9/tcp/50001')
      expect(announced).to.not.include(TRUE_ADDRESS)
    })

    it('are taken back when their listener has closed', async () => {
      const { listener, port } = await local.listen('/ip4/127.0.0.1/tcp/0')
      const observers = await all(FOUR, connectTo)
      claim(observers, TRUE_ADDRESS)
      expect(held()).to.deep.equal([TRUE_ADDRESS])

      expect(observers.every(({ localAddr }) => localAddr?.toString() === `/ip4/127.0.0.1/tcp/${port}`)).to.equal(true)
      await listener.close()
      claim(observers.slice(0, 1), TRUE_ADDRESS)
      expect(held()).to.be.empty()
    })
  })
})
