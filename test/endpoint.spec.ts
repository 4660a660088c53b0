import { expect } from 'aegir/chai'
import { isPublic, siteOf } from '../src/endpoint.ts'

describe('the site of a host', () => {
  it('is an IPv4 address or a /56 of IPv6', () => {
    expect(siteOf('11.0.0.1')).to.not.equal(siteOf('11.0.0.2'))
    expect(siteOf('2b00:1:2:300::1')).to.equal(siteOf('2b00:1:2:3ff:ffff::'))
    expect(siteOf('2b00:1:2:300::1')).to.not.equal(siteOf('2b00:1:2:400::1'))
    expect(siteOf('2b00::1')).to.equal(siteOf('2b00:0:0:ff::2'))
  })
})

describe('an address of a host on the Internet', () => {
  /**
   * The first and the last address of each block of IANA's IPv4 and IPv6 Special-Purpose
   * Address Registries, of multicast, and of what the IPv6 Address Space registry does not
   * give to hosts
   */
  const SPECIAL: Record<string, string[]> = {
    'this network': ['0.0.0.0', '0.255.255.255'],
    'private use': ['10.0.0.0', '10.255.255.255', '172.16.0.0', '172.31.255.255', '192.168.0.0', '192.168.255.255'],
    'carrier-grade NAT': ['100.64.0.0', '100.127.255.255'],
    loopback: ['127.0.0.0', '127.255.255.255', '::1'],
    'link-local': ['169.254.0.0', '169.254.169.254', '169.254.255.255', 'fe80::', 'fe80::1%eth0', 'febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    'IETF protocol assignments': ['192.0.0.0', '192.0.0.9', '192.0.0.170', '192.0.0.255', '2001::', '2001:1::1', '2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff'],
    documentation: ['192.0.2.0', '192.0.2.255', '198.51.100.0', '198.51.100.255', '203.0.113.0', '203.0.113.255', '2001:db8::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff', '3fff::', '3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff'],
    AS112: ['192.31.196.0', '192.31.196.255', '192.175.48.0', '192.175.48.255', '2620:4f:8000::', '2620:4f:8000:ffff:ffff:ffff:ffff:ffff', '2001:4:112::1'],
    AMT: ['192.52.193.0', '192.52.193.255', '2001:3::1'],
    '6to4 relays': ['192.88.99.0', '192.88.99.255'],
    benchmarking: ['198.18.0.0', '198.19.255.255', '2001:2::1'],
    multicast: ['224.0.0.0', '239.255.255.255', 'ff00::', 'ff02::1', 'ff0e::1', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    reserved: ['240.0.0.0', '255.255.255.255', '1000::1', '1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', '4000::', '5f00::1'],
    unspecified: ['::'],
    'IPv4-compatible': ['::7f00:1', '::127.0.0.1', '::808:808'],
    'IPv4-mapped, which is no spelling of an endpoint': ['::ffff:7f00:1', '::ffff:127.0.0.1', '::ffff:10.0.0.1', '0:0:0:0:0:ffff:a00:1', '::ffff:8.8.8.8'],
    'IPv4-translated': ['::ffff:0:7f00:1'],
    NAT64: ['64:ff9b::7f00:1', '64:ff9b::127.0.0.1', '64:ff9b::808:808', '64:ff9b::ffff:ffff', '64:ff9b:1::1', '64:ff9b:1:ffff:ffff:ffff:ffff:ffff'],
    'discard-only': ['100::', '100::ffff:ffff:ffff:ffff', '100:0:0:1::1'],
    Teredo: ['2001:0:7f00:1::', '2001:0:808:808:0:3fff:80ff:fffe'],
    ORCHID: ['2001:10::1', '2001:20::1', '2001:30::1'],
    '6to4, whatever is inside': ['2002:7f00:1::1', '2002:a00:1::1', '2002:808:808::1', '2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    'unique local': ['fc00::', 'fd00::1', 'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    'site-local': ['fec0::', 'fec0::1', 'feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    'with a zone': ['2b00::1%eth0', 'fec0::1%1']
  }

  for (const [what, hosts] of Object.entries(SPECIAL)) {
    it(`is none of these: ${what}`, () => {
      expect(hosts.filter(isPublic)).to.be.empty()
    })
  }

  it('may be next to each of these blocks', () => {
    expect([
      '1.0.0.0', '9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '126.255.255.255', '128.0.0.0', '169.253.255.255', '169.255.0.0',
      '172.15.255.255', '172.32.0.0', '191.255.255.255', '192.0.1.0', '192.0.3.0', '192.31.195.255', '192.31.197.0', '192.52.192.255', '192.52.194.0',
      '192.88.98.255', '192.88.100.0', '192.167.255.255', '192.169.0.0', '192.175.47.255', '192.175.49.0', '198.17.255.255', '198.20.0.0',
      '198.51.99.255', '198.51.101.0', '203.0.112.255', '203.0.114.0', '223.255.255.255', '8.8.4.4',
      '2000::', '2001:200::', '2001:db7:ffff::1', '2001:db9::', '2001:4860:4860::8888', '2003::', '2620:4f:7fff::1', '2620:4f:8001::', '2b00::1', '3ffe::1', '3fff:1000::', '3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'
    ].filter(host => !isPublic(host))).to.be.empty()
  })
})
