import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { askConnectedPeers } from '../../src/observed/autonat.ts'
import type { Connection } from '@libp2p/interface'

const V2 = '/libp2p/autonat/2/dial-request'

describe('asking of AutoNAT v2', () => {
  function server (address: string, direction: Connection['direction'], protocols: string[] = [V2]): any {
    return { remoteAddr: multiaddr(address), remotePeer: { protocols, address }, status: 'open', direction }
  }

  async function ask (connections: Connection[]): Promise<string[]> {
    const asked: string[] = []

    await askConnectedPeers({
      registrar: { getTopologies: () => [{ onConnect: (_, { remoteAddr }) => { asked.push(`${remoteAddr}`) } }] },
      connectionManager: { getConnections: () => connections },
      peerStore: {
        get: async (peer: any) => {
          if (peer.protocols.length === 0) {
            throw new Error('There is no such peer')
          }

          return peer
        }
      }
    })

    return asked
  }

  it('asks one server of each network, and first those that we dialed', async () => {
    expect(await ask([
      server('/ip4/12.0.0.1/tcp/1', 'inbound'),
      server('/ip4/13.0.0.1/tcp/1', 'inbound'),
      server('/ip4/14.0.0.1/tcp/1', 'outbound', []),
      server('/ip4/12.0.0.2/tcp/1', 'outbound'),
      server('/ip4/12.1.0.3/tcp/1', 'outbound'),
      server('/ip6/2b00::1/tcp/1', 'outbound', ['/ipfs/ping/1.0.0']),
      server('/ip6/2b00::2/tcp/1', 'outbound'),
      server('/ip6/2b00:1::3/tcp/1', 'outbound'),
      server('/dns4/example.com/tcp/1', 'outbound')
    ])).to.deep.equal(['/ip4/12.0.0.2/tcp/1', '/ip6/2b00::2/tcp/1', '/ip4/13.0.0.1/tcp/1'])
  })

  it('asks sixteen at most', async () => {
    const servers = Array.from({ length: 40 }, (_, i) => server(`/ip4/${12 + i}.0.0.1/tcp/1`, 'outbound'))

    expect(await ask(servers)).to.have.lengthOf(16)
  })
})
