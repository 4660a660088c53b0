import { expect } from 'aegir/chai'
import { parseArguments, wantsJson } from '../src/command-line.ts'
import type { Options } from '../src/command-line.ts'

const PEER = '/p2p/12D3KooWJRSrypvnpHgc6ZAgyCni4KcSmbV7uGRaMw5LgMKT18fq'
const RELAYED = `/ip4/127.0.0.1/tcp/4001${PEER}/p2p-circuit`

describe('the arguments of reuseport-check', () => {
  function parse (...args: string[]): Omit<Options, 'addresses'> & { addresses: string[] } {
    const { options } = parseArguments(args)

    return { ...options, addresses: options.addresses.map(ma => ma.toString()) }
  }

  it('have defaults', () => {
    expect(parseArguments([])).to.deep.equal({ options: { addresses: [], publicPeers: false, port: 0, timeout: 10_000, winsock: false, json: false }, output: undefined })
  })

  it('are understood', () => {
    expect(parse('--port', '4001', '--json', '--winsock', '--public', '/ip4/127.0.0.1/tcp/1', '--timeout=1.5', '--', `/dns4/example.com/tcp/65535${PEER}`))
      .to.deep.equal({ addresses: ['/ip4/127.0.0.1/tcp/1', `/dns4/example.com/tcp/65535${PEER}`], publicPeers: true, port: 4001, timeout: 1_500, winsock: true, json: true })
    expect(parse('/ip6zone/lo/ip6/fe80::1/tcp/1', `/dnsaddr/example.com${PEER}`).addresses).to.have.lengthOf(2)
  })

  it('may name an address twice, but one port can have one connection to it only', () => {
    expect(parse(`/ip6/::1/tcp/1${PEER}`, '/ip6/0:0:0:0:0:0:0:1/tcp/1').addresses).to.deep.equal([`/ip6/::1/tcp/1${PEER}`])
    expect(parse(`/dnsaddr/example.com${PEER}`, '/dnsaddr/example.com').addresses).to.have.lengthOf(2)
  })

  it('ask for help, or the version', () => {
    expect(parseArguments(['-h']).output).to.match(/^Usage: reuseport-check \[options\]/)
    expect(parseArguments(['--version']).output).to.match(/^\d+\.\d+\.\d+\n$/)
  })

  it('ask for JSON even if the others are wrong', () => {
    expect(wantsJson(['--colour', '--json'])).to.be.true()
    expect(wantsJson(['--colour'])).to.be.false()
    expect(wantsJson(['--', '--json'])).to.be.false()
  })

  const wrong: Record<string, string[]> = {
    'unknown option \'--colour\'': ['--colour'],
    'unknown option \'-x\'': ['-x', '/ip4/127.0.0.1/tcp/1'],
    'unknown option \'--json=yes\'': ['--json=yes'],
    'option \'--port <number>\' argument missing': ['--port'],
    '\'-1\' is invalid. It must be a number from 0 to 65535': ['--port', '-1'],
    '\'--json\' is invalid. It must be a number from 0 to 65535': ['--port', '--json'],
    '\'65536\' is invalid. It must be a number from 0 to 65535': ['--port', '65536'],
    '\'4001x\' is invalid. It must be a number from 0 to 65535': ['--port=4001x'],
    '\'\' is invalid. It must be a number from 0 to 65535': ['--port='],
    '\'0\' is invalid. It must be a number of seconds, more than 0 and at most 3600': ['--timeout', '0'],
    '\'3601\' is invalid. It must be a number of seconds, more than 0 and at most 3600': ['--timeout', '3601'],
    '\'soon\' is invalid. It must be a number of seconds, more than 0 and at most 3600': ['--timeout', 'soon']
  }

  const wrongAddresses: Record<string, string[]> = {
    'It is not a multiaddr': ['127.0.0.1:4001', '/ip4/127.0.0.300/tcp/1', '/ip4/127.0.0.1/tcp/65536', '/ip4/127.0.0.1/tcp/1/p2p/me'],
    'It must be a TCP address': [RELAYED, '/ip4/127.0.0.1/udp/4001/quic-v1', '/ip4/127.0.0.1/tcp/4001/ws', '/ip4/127.0.0.1', PEER, '/unix/%2Ftmp%2Fsocket'],
    'Port 0 can not be dialed': ['/ip4/127.0.0.1/tcp/0']
  }

  for (const [reason, addresses] of Object.entries(wrongAddresses)) {
    addresses.forEach(address => { wrong[`'${address}' is invalid for argument 'multiaddr'. ${reason}`] = [address] })
  }

  for (const [message, args] of Object.entries(wrong)) {
    it(`are wrong: ${args.join(' ')}`, () => {
      expect(() => parseArguments(args)).to.throw(message)
        .with.property('exitCode', 2)
    })
  }
})
