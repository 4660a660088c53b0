import dns from 'node:dns/promises'
import net from 'node:net'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { isSupported, parseDialAddr, parseListenAddr, resolveName, toMultiaddr } from '../src/address.ts'
import type { Multiaddr } from '@multiformats/multiaddr'

const PEER = '12D3KooWJRSrypvnpHgc6ZAgyCni4KcSmbV7uGRaMw5LgMKT18fq'

describe('address', () => {
  describe('that is a multiaddr', () => {
    const TARGETS: Record<string, object> = {
      '/ip4/11.0.0.1/tcp/4001': { type: 'ip', endpoint: { host: '11.0.0.1', port: 4001 } },
      [`/ip4/11.0.0.1/tcp/4001/p2p/${PEER}`]: { type: 'ip', endpoint: { host: '11.0.0.1', port: 4001 } },
      '/ip6/2b00::1/tcp/4001': { type: 'ip', endpoint: { host: '2b00::1', port: 4001 } },
      '/ip6zone/eth0/ip6/fe80::1/tcp/4001': { type: 'ip', endpoint: { host: 'fe80::1%eth0', port: 4001 } },
      // a zone means something for a link-local address only
      '/ip6zone/eth0/ip6/2b00::1/tcp/4001': { type: 'ip', endpoint: { host: '2b00::1', port: 4001 } },
      // an IPv4-mapped address is reached over IPv4
      '/ip6/::ffff:11.0.0.1/tcp/4001': { type: 'ip', endpoint: { host: '11.0.0.1', port: 4001 } },
      '/ip6/::ffff:b00:1/tcp/4001': { type: 'ip', endpoint: { host: '11.0.0.1', port: 4001 } },
      '/dns/peer.test/tcp/4001': { type: 'name', name: 'peer.test', port: 4001 },
      '/dns4/peer.test/tcp/4001': { type: 'name', name: 'peer.test', family: 4, port: 4001 },
      '/dns6/peer.test/tcp/4001': { type: 'name', name: 'peer.test', family: 6, port: 4001 }
    }

    for (const [address, target] of Object.entries(TARGETS)) {
      it(`says what is listened on and what is dialed: ${address}`, () => {
        expect(isSupported(multiaddr(address))).to.equal(true)
        expect(parseListenAddr(multiaddr(address))).to.deep.equal(target)
        expect(parseDialAddr(multiaddr(address))).to.deep.equal(target)
      })
    }

    it('means this host if it is unspecified and dialed, and all addresses if it is listened on', () => {
      for (const [address, host, destination] of [['/ip4/0.0.0.0', '0.0.0.0', '127.0.0.1'], ['/ip6/::', '::', '::1'], ['/ip6/::ffff:0.0.0.0', '0.0.0.0', '127.0.0.1']]) {
        const ma = multiaddr(`${address}/tcp/4001`)

        expect(parseListenAddr(ma), address).to.deep.equal({ type: 'ip', endpoint: { host, port: 4001 } })
        expect(parseDialAddr(ma), address).to.deep.equal({ type: 'ip', endpoint: { host: destination, port: 4001 } })
      }
    })

    it('may have port 0 only if it is listened on', () => {
      for (const address of ['/ip4/11.0.0.1/tcp/0', '/dns/peer.test/tcp/0']) {
        expect(() => parseListenAddr(multiaddr(address))).to.not.throw()
        expect(() => parseDialAddr(multiaddr(address))).to.throw(address).with.property('name', 'InvalidParametersError')
      }
    })

    it('is refused by its name if it is no address of TCP', () => {
      for (const address of ['/ip4/11.0.0.1/udp/4001', '/ip4/11.0.0.1/tcp/4001/ws', '/ip4/11.0.0.1', '/dnsaddr/peer.test/tcp/4001']) {
        for (const parse of [parseListenAddr, parseDialAddr]) {
          expect(() => parse(multiaddr(address))).to.throw(address).with.property('name', 'InvalidParametersError')
        }
      }

      expect(() => parseListenAddr('/ip4/11.0.0.1/tcp/4001' as unknown as Multiaddr)).to.throw('is not a multiaddr')
        .with.property('name', 'InvalidParametersError')
    })
  })

  it('of a socket becomes a multiaddr that stands for it', () => {
    for (const host of ['11.0.0.1', '2b00::1', 'fe80::1%eth0']) {
      const endpoint = { host, port: 4001 }

      expect(parseListenAddr(toMultiaddr(endpoint))).to.deep.equal({ type: 'ip', endpoint })
    }
  })

  describe('behind a name', () => {
    const { lookup } = dns
    const isAuto = net.getDefaultAutoSelectFamily()

    afterEach(() => {
      dns.lookup = lookup
      net.setDefaultAutoSelectFamily(isAuto)
    })

    async function resolve (...addresses: string[]): Promise<string[]> {
      dns.lookup = (async () => addresses.map(address => ({ address, family: net.isIP(address) }))) as unknown as typeof lookup

      return (await resolveName('peer.test', 4001)).map(({ host }) => host)
    }

    it('takes turns with the other family, and the family that the system prefers begins', async () => {
      expect(await resolve('2b00::1', '2b00::2', '2b00::3', '11.0.0.1', '11.0.0.2')).to.deep.equal(['2b00::1', '11.0.0.1', '2b00::2', '11.0.0.2', '2b00::3'])
      expect(await resolve('11.0.0.1', '11.0.0.2', '2b00::1')).to.deep.equal(['11.0.0.1', '2b00::1', '11.0.0.2'])
    })

    it('is one, however often and in whatever spelling the system has it', async () => {
      expect(await resolve('11.0.0.1', '::ffff:11.0.0.1', '::ffff:b00:1', '11.0.0.1')).to.deep.equal(['11.0.0.1'])
    })

    it('is the first one only, if Node is to try no others', async () => {
      net.setDefaultAutoSelectFamily(false)

      expect(await resolve('2b00::1', '11.0.0.1')).to.deep.equal(['2b00::1'])
    })
  })
})
