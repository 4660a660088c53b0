import { start, stop } from '@libp2p/interface'
import { defaultLogger } from '@libp2p/logger'
import { peerIdFromString } from '@libp2p/peer-id'
import { lpStream, streamPair } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { wrapDcutr } from '../../src/dcutr/libp2p-dcutr.ts'
import { connectMessage, SYNC } from '../fixtures/dcutr-messages.ts'
import { until } from '../kit/wait.ts'
import type { Connection, Stream } from '@libp2p/interface'

const PEER = peerIdFromString('12D3KooWJRSrypvnpHgc6ZAgyCni4KcSmbV7uGRaMw5LgMKT18fq')
const CHANGED = 'another version of @libp2p/dcutr does otherwise: src/dcutr/libp2p-dcutr.ts has to follow it'

/**
 * What this package relies on and no type of `@libp2p/dcutr` promises
 */
describe('the contract with @libp2p/dcutr', () => {
  /**
   * Starts the real service on a made-up libp2p, and notes what it asks for
   */
  async function startService (): Promise<any> {
    const asked: string[] = []
    const registered: any = {}
    const note = (what: string): void => { asked.push(what) }
    const { signal } = new AbortController()
    const direct = relayedConnection('outbound')

    const service = wrapDcutr({
      logger: defaultLogger(),
      peerStore: { get: async () => ({ addresses: [{ multiaddr: multiaddr('/ip4/11.0.0.2/tcp/4001') }] }) },
      addressManager: { getAddresses: () => { throw new Error('the real address manager was asked') } },
      connectionManager: { openConnection: async () => { throw new Error('the real connection manager was asked') } },
      transportManager: { dialTransportForMultiaddr: () => ({}) },
      registrar: {
        register: async (_: string, topology: any) => { registered.topology = topology },
        handle: async (_: string, handler: any) => { registered.handler = handler },
        unhandle: async () => {},
        unregister: () => {}
      }
    } as any, { retries: 1 }, {
      candidates: () => {
        note('candidates')

        return [multiaddr('/ip4/11.0.0.9/tcp/4001')]
      },
      coordinate: async (_, run) => {
        note('coordinate')
        await run(signal)
        note('coordinated')
      },
      follow: async (_, run) => {
        note('follow')
        await run(signal)
        note('followed')
      },
      dial: async (role, relayed, multiaddrs) => {
        note(`${role ?? 'plain'} ${relayed.remotePeer === PEER ? multiaddrs.join() : 'for nobody'}`)

        if (role == null) {
          throw new Error('nobody there')
        }

        return direct
      }
    })
    await start(service)

    return { asked, registered, stop: async () => stop(service) }
  }

  function relayedConnection (direction: Connection['direction'], newStream?: () => Promise<Stream>): Connection {
    return {
      remoteAddr: multiaddr(`/ip4/11.0.0.1/tcp/4001/p2p/${PEER}/p2p-circuit/p2p/${PEER}`),
      remotePeer: PEER,
      direction,
      newStream,
      close: async () => {}
    } as any
  }

  it('a peer that dialed us over a relay is coordinated by one call, which has a plain dial and a punch as responder in it', async () => {
    const { asked, registered, stop } = await startService()
    const [ours, theirs] = await streamPair()
    const peer = lpStream(theirs)

    registered.topology.onConnect(PEER, relayedConnection('inbound', async () => ours))
    await peer.read()
    await peer.write(connectMessage(['/ip4/11.0.0.3/tcp/4001']))
    await peer.read()
    await until(() => asked.includes('coordinated'))

    expect(asked, CHANGED).to.deep.equal(['coordinate', `plain /ip4/11.0.0.2/tcp/4001/p2p/${PEER}`, 'candidates', 'responder /ip4/11.0.0.3/tcp/4001', 'coordinated'])
    await stop()
  })

  it('a peer that coordinates is followed by one call, which has a punch as initiator in it', async () => {
    const { asked, registered, stop } = await startService()
    const [ours, theirs] = await streamPair()
    const peer = lpStream(theirs)

    const followed = registered.handler(ours, relayedConnection('outbound'))
    await peer.write(connectMessage(['/ip4/11.0.0.3/tcp/4001']))
    await peer.read()
    await peer.write(SYNC)
    await until(() => asked.includes('followed'))

    expect(asked, CHANGED).to.deep.equal(['follow', 'candidates', 'initiator /ip4/11.0.0.3/tcp/4001', 'followed'])
    await followed
    await stop()
  })
})
