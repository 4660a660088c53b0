import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { candidates } from '../../src/dcutr/candidates.ts'
import type { ObservedEndpoint } from '../../src/index.ts'

const US = peerIdFromString('12D3KooWPWvdQF1MzMEYxpN6bRPJnQaGVoJwPLGXNDxQUqvsDkZy')
const RELAY = '/ip4/11.0.0.1/tcp/4001/p2p/12D3KooWHFKTMzwerBtsVmtz4ZZEQy2heafxzWw6wNn5PPYkBxJ5/p2p-circuit'
const ANNOUNCED = [RELAY, '/ip4/192.168.1.9/tcp/4001', '/ip4/11.0.0.9/tcp/4001']
const THRESHOLD = 4

describe('candidates', () => {
  function endpoint (...observed: Array<[address: string, observers: number, dialed?: number]>): ObservedEndpoint {
    return {
      local: multiaddr('/ip4/0.0.0.0/tcp/4001'),
      mapping: 'unknown',
      current: true,
      next: [],
      addresses: observed.map(([address, observers, dialed = observers]) => ({
        multiaddr: multiaddr(address),
        observers,
        dialed,
        agreed: observers >= THRESHOLD
      }))
    }
  }

  function candidatesOf (...observed: ObservedEndpoint[]): string[] {
    const announced = ANNOUNCED.map(address => multiaddr(`${address}/p2p/${US}`))

    return candidates({ announced, observed, peerId: US }).map(ma => ma.toString().replace(`/p2p/${US}`, ''))
  }

  function addressesOf (from: number, to: number): string[] {
    return Array.from({ length: to - from }, (_, i) => `/ip4/11.0.1.${from + i}/tcp/4001`)
  }

  it('are what the newest dials show, what anybody can reach, what else dialed peers observe, and what else is announced, each once', () => {
    expect(candidatesOf(
      endpoint(['/ip4/11.0.0.8/tcp/2', 1], ['/ip4/11.0.0.7/tcp/1', 1]),
      endpoint(['/ip4/11.0.0.5/tcp/4', 2], ['/ip4/11.0.0.6/tcp/3', 2], ['/ip4/11.0.0.9/tcp/4001', 2])
    )).to.deep.equal(['/ip4/11.0.0.5/tcp/4', '/ip4/11.0.0.8/tcp/2', '/ip4/11.0.0.9/tcp/4001', '/ip4/11.0.0.6/tcp/3', '/ip4/11.0.0.7/tcp/1', RELAY, '/ip4/192.168.1.9/tcp/4001'])
  })

  it('are not what inbound peers alone observe, unless as many agree as the threshold asks for', () => {
    expect(candidatesOf(endpoint(['/ip4/11.6.6.6/tcp/666', 3, 0]))).to.not.include('/ip4/11.6.6.6/tcp/666')
    expect(candidatesOf(endpoint(['/ip4/11.6.6.6/tcp/666', 4, 0]))).to.deep.equal(['/ip4/11.0.0.9/tcp/4001', '/ip4/11.6.6.6/tcp/666', RELAY, '/ip4/192.168.1.9/tcp/4001'])
  })

  it('are what one dialed peer observes before what any number of inbound ones does', () => {
    expect(candidatesOf(endpoint(['/ip4/11.6.6.6/tcp/666', 99, 0]), endpoint(['/ip4/11.0.0.8/tcp/2', 1])).slice(0, 3)).to.deep.equal(['/ip4/11.0.0.8/tcp/2', '/ip4/11.0.0.9/tcp/4001', '/ip4/11.6.6.6/tcp/666'])
  })

  it('are the next addresses of an endpoint before the ones that were observed, of which there is one', () => {
    const next = addressesOf(1, 8)
    const counting = { ...endpoint(...addressesOf(20, 24).map((address): [string, number] => [address, 1])), next: next.map(address => multiaddr(address)) }

    expect(candidatesOf(counting)).to.deep.equal(['/ip4/11.0.0.9/tcp/4001', ...next, ...addressesOf(20, 21), RELAY, '/ip4/192.168.1.9/tcp/4001'])
  })

  it('are no more than three for an endpoint that a NAT maps to another one for each peer, and sixteen in all', () => {
    const symmetric = endpoint(...addressesOf(0, 20).map((address): [string, number] => [address, 1]))
    const others = addressesOf(20, 40).map(address => endpoint([address, 1]))

    expect(candidatesOf(symmetric)).to.deep.equal(['/ip4/11.0.1.0/tcp/4001', '/ip4/11.0.0.9/tcp/4001', ...addressesOf(1, 3), RELAY, '/ip4/192.168.1.9/tcp/4001'])
    expect(candidatesOf(symmetric, ...others)).to.have.lengthOf(16)
  })
})
