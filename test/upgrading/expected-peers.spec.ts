import { mock } from 'node:test'
import { AbortError } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import pDefer from 'p-defer'
import { parseDialAddr } from '../../src/address.ts'
import { ExpectedPeers } from '../../src/upgrading/expected-peers.ts'
import { LATE_ARRIVAL_MS } from '../../src/upgrading/time-limits.ts'
import type { DeferredPromise } from 'p-defer'

const PEER = '12D3KooWJRSrypvnpHgc6ZAgyCni4KcSmbV7uGRaMw5LgMKT18fq'
const OTHER = '12D3KooWHRyfTBKcjkqjNk5UZarJhzT7rXZYfr4DmaCWJgen62Xk'
const HOST = '11.0.0.1'
const THERE = { host: HOST, port: 4001 }

describe('expected peers', () => {
  let peers: ExpectedPeers

  beforeEach(() => {
    peers = new ExpectedPeers()
    mock.timers.enable({ apis: ['setTimeout'] })
  })

  afterEach(() => { mock.timers.reset() })

  /** Punches, until the test resolves or rejects `dialing` */
  function punch (address = `/ip4/${HOST}/tcp/4001/p2p/${PEER}`): { dialing: DeferredPromise<string>, outcome: Promise<string> } {
    const dialing = pDefer<string>()
    const ma = multiaddr(address)
    const outcome = peers.during(ma, parseDialAddr(ma), dialing.promise)

    return { dialing, outcome: outcome.catch(err => err.message) }
  }

  it('come from the host that is dialed, while it is', async () => {
    expect(peers.has(THERE)).to.equal(false)

    const { dialing, outcome } = punch()
    expect(peers.has(THERE)).to.equal(true)
    expect(peers.has({ ...THERE, host: '11.0.0.2' })).to.equal(false)

    dialing.resolve('connected')
    expect(await outcome).to.equal('connected')
    expect(peers.has(THERE)).to.equal(false)
  })

  it('are expected a while longer if the dial fails', async () => {
    const { dialing, outcome } = punch()
    dialing.reject(new Error('refused'))
    expect(await outcome).to.equal('refused')

    mock.timers.tick(LATE_ARRIVAL_MS - 1)
    expect(peers.has(THERE)).to.equal(true)

    mock.timers.tick(1)
    expect(peers.has(THERE)).to.equal(false)
  })

  it('are not expected any longer if the dial is aborted', async () => {
    const { dialing, outcome } = punch()
    dialing.reject(new AbortError('enough'))

    expect(await outcome).to.equal('enough')
    expect(peers.has(THERE)).to.equal(false)
  })

  it('are one connection from the endpoint that is dialed, also after those of others behind the same NAT', () => {
    punch()
    // the peer may have another port than was observed, and the others are not the peer
    const others = [5001, 5002, 5003, 5004, 5005].map(port => peers.take({ host: HOST, port }))
    expect(others).to.deep.equal([PEER, PEER, PEER, undefined, undefined])

    expect(peers.take(THERE)).to.equal(PEER)
    expect(peers.take(THERE)).to.equal(undefined)
  })

  it('are told apart by their ports if they have the same host', () => {
    punch()
    punch(`/ip4/${HOST}/tcp/4002/p2p/${OTHER}`)

    expect(peers.take({ host: HOST, port: 4002 })).to.equal(OTHER)
    expect(peers.take(THERE)).to.equal(PEER)
  })

  it('are expected without an id, too, and not from a name, which stands for no endpoint', () => {
    punch(`/dns4/peer.test/tcp/4001/p2p/${PEER}`)
    expect(peers.has(THERE)).to.equal(false)

    punch(`/ip4/${HOST}/tcp/4001`)
    expect(peers.has(THERE)).to.equal(true)
    expect(peers.take(THERE)).to.equal(undefined)
    expect(peers.has(THERE)).to.equal(false)
  })
})
