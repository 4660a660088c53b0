import { mock } from 'node:test'
import { defaultLogger } from '@libp2p/logger'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { createLibp2p } from 'libp2p'
import { TypedEventEmitter } from 'main-event'
import { familyOf } from '../../src/endpoint.ts'
import { Observed } from '../../src/observed/observed.ts'
import type { DcutrComponents } from '../../src/dcutr/service.ts'
import type { Endpoint } from '../../src/endpoint.ts'
import type { PortReuseEvents } from '../../src/observed/observed.ts'
import type { Libp2pEvents } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

const LOCAL: Endpoint = { host: '192.168.1.2', port: 4001 }
const SECOND = 1_000
const MINUTE = 60 * SECOND
const V2 = '/libp2p/autonat/2/dial-request'

/** A peer with one connection at a time */
interface Peer {
  /** What the peer says by identify, or by an identify push */
  says(address: string): void
  closes(): void
}

/**
 * The address manager is the one of libp2p. The clock, the connections and what peers say on
 * them are made up. With real nodes, the attack is in test/amplification.spec.ts
 */
describe('hand-over of observed addresses', () => {
  let events: TypedEventEmitter<Libp2pEvents>
  let addressManager: NonNullable<DcutrComponents['addressManager']>
  let observed: Observed
  let told: TypedEventEmitter<PortReuseEvents>
  let listening: Endpoint[]
  let connections = 0
  let handedOver: string[]

  /** When a server was asked, in ms */
  let asked: number[]

  beforeEach(async () => {
    const { components } = await createLibp2p({ start: false }) as any
    events = new TypedEventEmitter()
    addressManager = components.addressManager
    handedOver = []
    asked = []
    listening = [LOCAL]

    // a host behind a NAT, as the address manager looks at it
    const getAddrs = (): Multiaddr[] => [multiaddr(`/ip4/${LOCAL.host}/tcp/${LOCAL.port}`)]
    Object.assign(components.transportManager, { getAddrs, getListeners: () => [{ getAddrs }] })

    const add = addressManager.addObservedAddr.bind(addressManager)
    addressManager.addObservedAddr = ma => {
      handedOver.push(`${ma}`)
      add(ma)
    }
    mock.timers.enable({ apis: ['setTimeout', 'Date'] })
    told = new TypedEventEmitter()
    observed = new Observed({
      threshold: 4,
      events,
      own: told,
      addressManager,
      log: defaultLogger().forComponent('test'),
      isListening: local => listening.includes(local),
      autonat: {
        registrar: { getTopologies: protocol => protocol === V2 ? [{ onConnect: () => { asked.push(Date.now()) } }] : [] },
        connectionManager: { getConnections: (): any[] => [{ status: 'open', remoteAddr: multiaddr('/ip4/13.0.0.1/tcp/4001'), remotePeer: 'a server' }] },
        peerStore: { get: async (): Promise<any> => ({ protocols: [V2] }) }
      }
    })
  })

  afterEach(() => {
    mock.timers.reset()
  })

  function connect (host: string, dialed: boolean, local: Endpoint = LOCAL): Peer {
    const timeline: any = {}
    const remote = { host, port: 4001 }
    observed.opened({ timeline }, { local, remote, dialed, began: connections++ })

    return {
      says: address => {
        events.safeDispatchEvent('peer:identify', {
          detail: { connection: { timeline, remoteAddr: multiaddr(`/ip${familyOf(host)}/${host}/tcp/4001`) }, observedAddr: multiaddr(address) } as any
        })
      },
      closes: () => { observed.closed({ timeline }) }
    }
  }

  function dialed (count: number, local?: Endpoint): Peer[] {
    return Array.from({ length: count }, (_, i) => connect(`14.0.0.${i}`, true, local))
  }

  function inbound (count: number, local?: Endpoint): Peer[] {
    return Array.from({ length: count }, (_, i) => connect(`15.0.0.${i}`, false, local))
  }

  function say (peers: Peer[], address: string): void {
    peers.forEach(peer => { peer.says(address) })
  }

  /** Peers on new connections, so that none of them changes its word on one */
  function sayOnce (peers: Peer[], address: string): void {
    say(peers, address)
    peers.forEach(peer => { peer.closes() })
  }

  async function pass (time: number): Promise<void> {
    mock.timers.tick(time)
    await new Promise(resolve => setImmediate(resolve))
  }

  function announced (): string[] {
    return addressManager.getAddressesWithMetadata().filter(({ verified, type }) => verified && type !== 'transport').map(({ multiaddr }) => `${multiaddr}`)
  }

  function held (): string[] {
    return addressManager.getAddressesWithMetadata().filter(({ type }) => type !== 'transport').map(({ multiaddr }) => `${multiaddr}`)
  }

  const TRUE_ADDRESS = '/ip4/11.0.0.9/tcp/4001'

  /** Four sites that dialed us name another address every ten seconds, for an hour */
  async function attackForAnHour (alsoBy: () => Peer[] = () => []): Promise<void> {
    for (let i = 0; i < 360; i++) {
      sayOnce([...inbound(4), ...alsoBy()], `/ip4/11.6.${i >> 8}.${i & 255}/tcp/666`)
      await pass(10 * SECOND)
    }
  }

  it('of one inbound peer is not told as found, and that of a dialed peer is gone ten minutes after the connection', async () => {
    const gone: string[] = []
    told.addEventListener('external-address:found', ({ detail }) => { expect(`${detail.external}`).to.equal(TRUE_ADDRESS) })
    told.addEventListener('external-address:gone', ({ detail }) => { gone.push(`${detail.external}`) })
    say(inbound(1), '/ip4/11.6.6.6/tcp/666')
    const [first, second] = dialed(2)
    say([first, second], TRUE_ADDRESS)
    first.closes()
    await pass(5 * MINUTE)
    second.closes()

    await pass(10 * MINUTE - 1)
    expect(gone).to.be.empty()
    await pass(1)
    expect(gone).to.deep.equal([TRUE_ADDRESS])
  })

  it('is one, whatever four sites push that dialed us', async () => {
    const strangers = inbound(4)

    for (let i = 0; i < 30; i++) {
      say(strangers, `/ip4/11.6.6.${i}/tcp/666`)
      await pass(SECOND)
    }

    await pass(MINUTE)
    expect(handedOver).to.deep.equal(['/ip4/11.6.6.0/tcp/666'])
    expect(asked).to.have.lengthOf(1)
  })

  it('is one, and then one in ten minutes, if they say it on new connections', async () => {
    await attackForAnHour()

    expect(handedOver).to.have.lengthOf(1 + 6)
    expect(asked).to.have.lengthOf(1 + 6)
    expect(held()).to.have.lengthOf(1)
  })

  it('leaves the address alone that fifty peers see that we dialed, and follows when they see another one', async () => {
    const honest = dialed(50)
    say(honest, TRUE_ADDRESS)
    addressManager.confirmObservedAddr(multiaddr(TRUE_ADDRESS))
    await attackForAnHour()

    expect(announced()).to.deep.equal([TRUE_ADDRESS])
    expect(handedOver).to.have.lengthOf(1 + 6)

    // the NAT has restarted
    honest.forEach(peer => { peer.closes() })
    const changed = Date.now()
    say(dialed(50), '/ip4/11.0.0.10/tcp/50001')
    expect(handedOver.slice(7)).to.deep.equal(['/ip4/11.0.0.10/tcp/50001'])
    expect(held()).to.include('/ip4/11.0.0.10/tcp/50001').and.not.include(TRUE_ADDRESS)

    await pass(MINUTE)
    expect(asked.at(-1)).to.be.within(changed, changed + MINUTE)
  })

  it('follows also if one of four that lie is a peer that we dialed', async () => {
    say(dialed(50), TRUE_ADDRESS)
    await attackForAnHour(() => [connect('16.0.0.1', true)])
    expect(held()).to.include(TRUE_ADDRESS)

    say(dialed(50), '/ip4/11.0.0.10/tcp/50001')
    expect(handedOver.at(-1)).to.equal('/ip4/11.0.0.10/tcp/50001')
    expect(held()).to.include('/ip4/11.0.0.10/tcp/50001').and.not.include(TRUE_ADDRESS)
  })

  describe('when the public IP address has changed', () => {
    const NEW_ADDRESS = '/ip4/11.0.0.10/tcp/4001'
    let before: Peer[]

    beforeEach(() => {
      before = dialed(8)
      say([...before, ...inbound(4)], TRUE_ADDRESS)
      addressManager.confirmObservedAddr(multiaddr(TRUE_ADDRESS))
      expect(announced()).to.deep.equal([TRUE_ADDRESS])
    })

    it('takes the old address back as soon as four peers that we dialed see the new one', () => {
      const after = dialed(4)
      say(after.slice(0, 3), NEW_ADDRESS)
      expect(announced()).to.deep.equal([TRUE_ADDRESS])

      say(after.slice(3), NEW_ADDRESS)
      expect(announced()).to.be.empty()
      expect(held()).to.deep.equal([NEW_ADDRESS])
    })

    it('takes it back when the dead connections have closed, if there are more of them', () => {
      say([0, 1, 2, 3].map(host => connect(`16.0.0.${host}`, true)), NEW_ADDRESS)
      expect(announced()).to.deep.equal([TRUE_ADDRESS])

      before.forEach(peer => { peer.closes() })
      expect(announced()).to.be.empty()
    })

    it('leaves it alone for any number of peers that dialed us, and three that we dialed', () => {
      before.forEach(peer => { peer.closes() })
      say([...inbound(50), ...[0, 1, 2].map(host => connect(`16.0.0.${host}`, true))], NEW_ADDRESS)
      expect(announced()).to.deep.equal([TRUE_ADDRESS])
    })
  })

  describe('behind a NAT with another port for each destination', () => {
    let ports = 50_000

    /** Each peer sees another port */
    function saySymmetric (peers: Peer[], host: string): void {
      peers.forEach(peer => { peer.says(`/ip4/${host}/tcp/${ports++}`) })
    }

    it('is once the IP address with our port, which may be forwarded, and follows the IP address', async () => {
      saySymmetric(dialed(3), '11.0.0.9')
      saySymmetric(inbound(4), '11.0.0.9')
      expect(handedOver).to.be.empty()

      saySymmetric(dialed(20), '11.0.0.9')
      expect(handedOver).to.deep.equal([TRUE_ADDRESS])

      addressManager.confirmObservedAddr(multiaddr(TRUE_ADDRESS))
      expect(announced()).to.deep.equal([TRUE_ADDRESS])

      // four that lie
      say([0, 1, 2, 3].map(host => connect(`16.0.0.${host}`, true)), '/ip4/11.0.0.9/tcp/1')
      expect(announced()).to.deep.equal([TRUE_ADDRESS])

      await pass(10 * MINUTE)
      saySymmetric(dialed(20), '11.0.0.10')
      expect(announced()).to.be.empty()
      expect(held()).to.include('/ip4/11.0.0.10/tcp/4001')
    })
  })

  it('comes later, also if nobody says anything more, when a NAT changes its mapping too often', async () => {
    for (let i = 1; i <= 5; i++) {
      sayOnce(dialed(4), `/ip4/11.0.0.9/tcp/${i}`)
      await pass(SECOND)
    }

    expect(handedOver).to.have.lengthOf(3)
    expect(held()).to.be.empty()

    await pass(10 * MINUTE - 6 * SECOND)
    expect(handedOver).to.have.lengthOf(3)
    await pass(SECOND)
    expect(handedOver.slice(3)).to.deep.equal(['/ip4/11.0.0.9/tcp/5'])
    expect(held()).to.deep.equal(['/ip4/11.0.0.9/tcp/5'])
  })

  it('takes nothing back for the word of inbound peers that is announced or that dialed peers named', async () => {
    say(dialed(4), TRUE_ADDRESS)
    say(dialed(4), '/ip4/11.0.0.10/tcp/4001')
    sayOnce(inbound(4), '/ip4/11.0.0.11/tcp/4001')
    expect(held()).to.deep.equal(['/ip4/11.0.0.10/tcp/4001'])

    await pass(20 * MINUTE)
    sayOnce(inbound(4), '/ip4/11.0.0.12/tcp/4001')
    addressManager.confirmObservedAddr(multiaddr('/ip4/11.0.0.12/tcp/4001'))

    await pass(60 * MINUTE)
    sayOnce(inbound(40), '/ip4/11.0.0.13/tcp/4001')
    expect(handedOver).to.have.lengthOf(3)
    expect(announced()).to.deep.equal(['/ip4/11.0.0.12/tcp/4001'])
    expect(held()).to.have.members(['/ip4/11.0.0.10/tcp/4001', '/ip4/11.0.0.12/tcp/4001'])
  })

  it('has no more than two addresses that dialed peers name, also if only inbound peers named them first', async () => {
    for (let i = 1; i <= 6; i++) {
      const address = `/ip4/11.0.0.${i}/tcp/4001`
      say([1, 2, 3, 4].map(host => connect(`15.0.${i}.${host}`, false)), address)
      expect(held()).to.include(address)

      connect(`14.0.0.${i}`, true).says(address)
      expect(held()).to.have.lengthOf(Math.min(i, 2))
      await pass(10 * MINUTE)
    }
  })

  it('asks once a minute, for all that was handed over meanwhile', async () => {
    const second: Endpoint = { host: '192.168.1.2', port: 4002 }
    listening.push(second)
    say(dialed(4), TRUE_ADDRESS)
    await pass(0)
    expect(asked).to.deep.equal([0])

    await pass(SECOND)
    say(dialed(4, second), '/ip4/11.0.0.9/tcp/4002')
    say(dialed(4), '/ip4/11.0.0.9/tcp/4003')
    await pass(58 * SECOND)
    expect(handedOver).to.have.lengthOf(3)
    expect(asked).to.deep.equal([0])

    await pass(SECOND)
    expect(asked).to.deep.equal([0, MINUTE])
  })

  it('is counted for each listening endpoint', async () => {
    const second: Endpoint = { host: '192.168.1.2', port: 4002 }
    listening.push(second)
    sayOnce(inbound(4), '/ip4/11.6.6.6/tcp/1')
    sayOnce(inbound(4, second), '/ip4/11.6.6.6/tcp/2')
    sayOnce(inbound(4), '/ip4/11.6.6.6/tcp/3')
    sayOnce(inbound(4, second), '/ip4/11.6.6.6/tcp/4')

    expect(handedOver).to.deep.equal(['/ip4/11.6.6.6/tcp/1', '/ip4/11.6.6.6/tcp/2'])
  })

  it('counts what is said within one IPv6 site once', async () => {
    const local: Endpoint = { host: '::', port: 4001 }
    listening.push(local)
    const address = '/ip6/2b00::9/tcp/4001'
    const siteMates = Array.from({ length: 40 }, (_, i) => connect(`2b00:0:0:ff${i + 10}::1`, false, local))
    const others = [1, 2, 3].map(site => connect(`2b00:${site}::1`, false, local))

    say([...siteMates, ...others.slice(1)], address)
    expect(handedOver).to.be.empty()

    say(others, address)
    expect(handedOver).to.deep.equal([address])
  })
})
