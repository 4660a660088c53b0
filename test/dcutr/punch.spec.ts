import { getEventListeners } from 'node:events'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { TypedEventEmitter } from 'main-event'
import { punchLimits } from '../../src/dcutr/punch-limits.ts'
import { punch } from '../../src/dcutr/punch.ts'
import type { PunchOptions } from '../../src/dcutr/punch.ts'
import type { Connection, Libp2pEvents } from '@libp2p/interface'

const PEER = peerIdFromString('12D3KooWJRSrypvnpHgc6ZAgyCni4KcSmbV7uGRaMw5LgMKT18fq')
const OTHER = peerIdFromString('12D3KooWHFKTMzwerBtsVmtz4ZZEQy2heafxzWw6wNn5PPYkBxJ5')

/** The order of arrivals alone. Real NATs, SYNs and upgrades are in test/nat */
describe('punch', () => {
  const events = new TypedEventEmitter<Libp2pEvents>()
  const controller = new AbortController()

  function connection (addr: string = '/ip4/11.0.0.2/tcp/4001', remotePeer = PEER): Connection {
    return { remoteAddr: multiaddr(addr), remotePeer, status: 'open' } as unknown as Connection
  }

  async function never (signal: AbortSignal): Promise<Connection> {
    return new Promise((resolve, reject) => { signal.addEventListener('abort', () => { reject(signal.reason) }) })
  }

  function options (dials: PunchOptions['dials']): PunchOptions {
    return { relayed: connection(), dials, limits: punchLimits('initiator', 40), events, signal: controller.signal }
  }

  function arrive (detail: Connection): void {
    events.safeDispatchEvent('connection:open', { detail })
  }

  afterEach(() => {
    expect(events.listenerCount('connection:open')).to.equal(0)
    expect(getEventListeners(controller.signal, 'abort')).to.be.empty()
  })

  it('takes the dial that succeeds, and aborts the others', async () => {
    const direct = connection()
    let aborted = false

    expect(await punch(options([async signal => {
      signal.addEventListener('abort', () => { aborted = true })
      return never(signal)
    }, async () => direct]))).to.equal(direct)
    expect(aborted).to.equal(true)
  })

  it('takes the connection that the peer opened while we were dialing', async () => {
    const direct = connection()
    const punching = punch(options([never]))
    arrive(connection('/ip4/11.0.0.3/tcp/4001', OTHER))
    arrive(connection(`/ip4/11.0.0.1/tcp/4001/p2p/${OTHER}/p2p-circuit`))
    arrive(direct)

    expect(await punching).to.equal(direct)
  })

  it('waits for the connection of the peer when its SYN was here before ours', async () => {
    const direct = connection()
    const refused = async (): Promise<Connection> => {
      setImmediate(() => { arrive(direct) })
      throw Object.assign(new Error('taken'), { code: 'EADDRNOTAVAIL' })
    }

    expect(await punch(options([refused]))).to.equal(direct)
  })

  it('fails with the first error when nothing arrives', async () => {
    await expect(punch(options([async () => { throw new Error('first') }, async () => { throw new Error('second') }])))
      .to.eventually.be.rejected().with.property('message', 'first')
  })

  it('does not wait for the connection of the peer if the peer has refused one', async () => {
    const reset: PunchOptions['dials'][0] = async (_, onConnected) => {
      onConnected?.(40)
      throw new Error('reset')
    }
    await expect(punch({ ...options([reset]), signal: AbortSignal.timeout(500) })).to.eventually.be.rejected()
      .with.property('message', 'reset')
  })

  it('ends with the signal', async () => {
    await expect(punch({ ...options([never]), signal: AbortSignal.timeout(20) })).to.eventually.be.rejected()
      .with.property('name', 'AbortError')
  })
})
