import { expect } from 'aegir/chai'
import { isPublic, siteOf } from '../src/endpoint.ts'

describe('endpoint', () => {
  it('is an IPv4 address or a /56 of IPv6', () => {
    expect(siteOf('11.0.0.1')).to.not.equal(siteOf('11.0.0.2'))
    expect(siteOf('2b00:1:2:300::1')).to.equal(siteOf('2b00:1:2:3ff:ffff::'))
    expect(siteOf('2b00:1:2:300::1')).to.not.equal(siteOf('2b00:1:2:400::1'))
    expect(siteOf('2b00::1')).to.equal(siteOf('2b00:0:0:ff::2'))
  })

  it('can only report a public address', () => {
    for (const host of ['127.0.0.1', '10.0.0.1', '192.168.1.1', '100.64.0.1', '0.0.0.0', '169.254.1.1', '::', '::1', 'fe80::1', 'fd00::1', '2001:db8::1', '224.0.0.1', '255.255.255.255']) {
      expect(isPublic(host), host).to.equal(false)
    }

    for (const host of ['11.0.0.1', '8.8.4.4', '2b00::1']) {
      expect(isPublic(host), host).to.equal(true)
    }
  })
})
