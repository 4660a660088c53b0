import { format } from 'node:util'
import { autoNAT } from '@libp2p/autonat'
import { autoNATv2 } from '@libp2p/autonat-v2'
import { dcutr as libp2pDcutr } from '@libp2p/dcutr'
import { identify } from '@libp2p/identify'
import { FaultTolerance } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { expect } from 'aegir/chai'
import { dcutr } from '../src/dcutr/service.ts'
import { reuseportTcp } from '../src/index.ts'
import { startNode } from './kit/node.ts'
import { watchLog } from './kit/watch-log.ts'
import type { Libp2pOptions } from 'libp2p'

describe('mistakes in the set-up of a node', () => {
  const services = { identify: identify() }
  const listening = { addresses: { listen: ['/ip4/0.0.0.0/tcp/0'] } }
  // only one of two transports can listen
  const both = { transportManager: { faultTolerance: FaultTolerance.NO_FATAL }, services }

  const nodes: Array<[what: string, options: Libp2pOptions<any>, line?: string]> = [
    ['no mistake', { services }],
    ['no mistake in hole punching', { ...listening, services: { ...services, autoNAT: autoNATv2(), dcutr: dcutr() } }],
    ['no identify()', {}, 'there is no identify() of @libp2p/identify among the services'],
    ['tcp() before', { ...both, transports: [tcp(), reuseportTcp()] }, 'It comes first, so it makes all dials, from ephemeral ports. Remove tcp()'],
    ['tcp() after', { ...both, transports: [reuseportTcp(), tcp()] }, 'Both transports listen on the same addresses. Remove tcp()'],
    ['the other dcutr()', { services: { ...services, dcutr: libp2pDcutr() } }, 'Import dcutr from libp2p-reuseport-tcp/dcutr'],
    ['AutoNAT v1', { services: { ...services, autoNAT: autoNAT() } }, 'Use autoNATv2() of @libp2p/autonat-v2'],
    ['AutoNAT v2 that can not be asked', { services: { ...services, autoNAT: autoNATv2({ protocolPrefix: 'own' }) } }, 'autoNATv2() can not be asked'],
    ['dcutr() on loopback', { addresses: { listen: ['/ip4/127.0.0.1/tcp/0', '/ip6/::1/tcp/0'] }, services: { ...services, dcutr: dcutr() } }, 'only on [/ip4/127.0.0.1/tcp/0, /ip6/::1/tcp/0]'],
    ['dcutr() without a listener', { addresses: {}, services: { ...services, dcutr: dcutr() } }, 'only on []']
  ]

  for (const [what, options, line] of nodes) {
    it(`${what}: ${line == null ? 'nothing is logged' : 'one line is logged, at the start'}`, async () => {
      const lines: string[] = []
      const node = await startNode({ start: false, logger: watchLog('libp2p:reuseport-tcp', (text, args) => { lines.push(format(text, ...args)) }), ...options })

      lines.length = 0
      await node.start()
      await node.stop()

      expect(lines).to.have.lengthOf(line == null ? 0 : 1)
      expect(lines.join()).to.include(line ?? '')
    })
  }
})
