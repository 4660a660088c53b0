import { expect } from 'aegir/chai'
import { parseOptions, wantsJson } from '../../src/bin/options.ts'

const PEER = '/p2p/12D3KooWJRSrypvnpHgc6ZAgyCni4KcSmbV7uGRaMw5LgMKT18fq'
const RELAYED = `/ip4/127.0.0.1/tcp/4001${PEER}/p2p-circuit`

describe('the arguments of reuseport-check', () => {
  it('have defaults', () => {
    expect(parseOptions([])).to.deep.equal({ addresses: [], port: 0, timeout: 10_000, json: false, help: false, version: false })
  })

  it('are understood', () => {
    expect(parseOptions(['--port', '4001', '--json', '/ip4/127.0.0.1/tcp/1', '--timeout=1.5', '--', `/dns4/example.com/tcp/65535${PEER}`]))
      .to.deep.include({ addresses: ['/ip4/127.0.0.1/tcp/1', `/dns4/example.com/tcp/65535${PEER}`], port: 4001, timeout: 1_500, json: true })
    expect(parseOptions(['-h'])).to.have.property('help', true)
    expect(parseOptions(['--version'])).to.have.property('version', true)
    expect(parseOptions(['/ip6zone/lo/ip6/fe80::1/tcp/1', `/dnsaddr/example.com${PEER}`]).addresses).to.have.lengthOf(2)
  })

  it('may name an address twice, but one port can have one connection to it only', () => {
    expect(parseOptions([`/ip6/::1/tcp/1${PEER}`, '/ip6/0:0:0:0:0:0:0:1/tcp/1']).addresses).to.deep.equal([`/ip6/::1/tcp/1${PEER}`])
    expect(parseOptions([`/dnsaddr/example.com${PEER}`, '/dnsaddr/example.com']).addresses).to.have.lengthOf(2)
  })

  it('ask for JSON even if the others are wrong', () => {
    expect(wantsJson(['--colour', '--json'])).to.be.true()
    expect(wantsJson(['--colour'])).to.be.false()
    expect(wantsJson(['--', '--json'])).to.be.false()
  })

  const wrong: Record<string, string[]> = {
    'Unknown option \'--colour\'': ['--colour'],
    'Unknown option \'-x\'': ['-x', '/ip4/127.0.0.1/tcp/1'],
    'Option \'--json\' does not take an argument': ['--json=yes'],
    '--port needs a value': ['--port'],
    '--port can not be \'-1\'': ['--port', '-1'],
    '--port can not be \'--json\'': ['--port', '--json'],
    '--port must be a number from 0 to 65535, not \'65536\'': ['--port', '65536'],
    '--port must be a number from 0 to 65535, not \'-1\'': ['--port=-1'],
    '--port must be a number from 0 to 65535, not \'4001x\'': ['--port=4001x'],
    '--port must be a number from 0 to 65535, not \'\'': ['--port='],
    '--timeout must be a number of seconds, more than 0 and at most 3600, not \'0\'': ['--timeout', '0'],
    '--timeout must be a number of seconds, more than 0 and at most 3600, not \'3601\'': ['--timeout', '3601'],
    '--timeout must be a number of seconds, more than 0 and at most 3600, not \'soon\'': ['--timeout', 'soon'],
    '\'127.0.0.1:4001\' is not a multiaddr': ['127.0.0.1:4001'],
    '\'/ip4/127.0.0.300/tcp/1\' is not a multiaddr': ['/ip4/127.0.0.300/tcp/1'],
    '\'/ip4/127.0.0.1/tcp/65536\' is not a multiaddr': ['/ip4/127.0.0.1/tcp/65536'],
    '\'/ip4/127.0.0.1/tcp/1/p2p/me\' is not a multiaddr': ['/ip4/127.0.0.1/tcp/1/p2p/me'],
    [`'${RELAYED}' leads through a relay`]: [RELAYED],
    '\'/ip4/127.0.0.1/udp/4001/quic-v1\' is not a TCP address': ['/ip4/127.0.0.1/udp/4001/quic-v1'],
    '\'/ip4/127.0.0.1/tcp/4001/ws\' is not a TCP address': ['/ip4/127.0.0.1/tcp/4001/ws'],
    '\'/ip4/127.0.0.1\' is not a TCP address': ['/ip4/127.0.0.1'],
    [`'${PEER}' is not a TCP address`]: [PEER],
    '\'/unix/%2Ftmp%2Fsocket\' is a unix socket': ['/unix/%2Ftmp%2Fsocket'],
    'Can not dial port 0 of multiaddr /ip4/127.0.0.1/tcp/0': ['/ip4/127.0.0.1/tcp/0']
  }

  for (const [message, args] of Object.entries(wrong)) {
    it(`are wrong: ${args.join(' ')}`, () => {
      expect(() => parseOptions(args)).to.throw(message)
        .with.property('name', 'UsageError')
    })
  }
})
