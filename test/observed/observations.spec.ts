import { expect } from 'aegir/chai'
import { natMapping } from '../../src/observed/nat-mapping.ts'
import { Observations } from '../../src/observed/observations.ts'
import { isPublic, observerOf } from '../../src/observed/observer.ts'
import type { Endpoint } from '../../src/port-pool.ts'

const LOCAL: Endpoint = { host: '0.0.0.0', port: 4001 }
const HONEST: Endpoint = { host: '11.0.0.9', port: 4001 }
const LIE: Endpoint = { host: '11.6.6.6', port: 666 }
const TEN_MINUTES = 10 * 60_000

function observe (observations: Observations, observer: string, external: Endpoint, now?: number): object {
  const connection = {}
  observations.add(connection, { local: LOCAL, external, observer, dialed: true }, now)

  return connection
}

describe('observations', () => {
  it('count each observer once, however many connections it has', () => {
    const observations = new Observations()

    for (let i = 0; i < 5; i++) {
      observe(observations, 'one', HONEST)
    }

    observe(observations, 'two', HONEST)
    expect(observations.addresses()).to.deep.equal([{ local: LOCAL, external: HONEST, observers: 2 }])
  })

  it('let no liar outvote four honest peers', () => {
    const observations = new Observations()

    for (const observer of ['one', 'two', 'three', 'four']) {
      observe(observations, observer, HONEST)
    }

    for (let i = 0; i < 10_000; i++) {
      observe(observations, 'liar', { ...LIE, port: 1 + i % 60_000 })
    }

    const addresses = observations.addresses()
    expect(addresses[0]).to.deep.equal({ local: LOCAL, external: HONEST, observers: 4 })
    expect(addresses.slice(1).every(({ observers }) => observers === 1)).to.equal(true)
    expect(addresses.length).to.be.at.most(9)
    expect(observations.mapping(LOCAL, 4)).to.equal('endpoint-independent')
  })

  it('are bounded, and those of closed connections go first', () => {
    const observations = new Observations()
    const open = observe(observations, 'open', HONEST)

    for (let i = 0; i < 5_000; i++) {
      observations.close(observe(observations, `observer ${i}`, { ...LIE, port: 1 + i }))
    }

    const addresses = observations.addresses()
    expect(addresses).to.have.lengthOf(1_000)
    expect(addresses).to.deep.include({ local: LOCAL, external: HONEST, observers: 1 })
    observations.close(open)
  })

  it('are forgotten ten minutes after their connection has closed, not before', () => {
    const observations = new Observations()
    const connection = observe(observations, 'one', HONEST, 0)

    expect(observations.addresses(100 * TEN_MINUTES)).to.have.lengthOf(1)
    observations.close(connection, 100 * TEN_MINUTES)
    expect(observations.addresses(101 * TEN_MINUTES - 1)).to.have.lengthOf(1)
    expect(observations.addresses(101 * TEN_MINUTES)).to.be.empty()
  })

  it('are replaced by what the same connection says later', () => {
    const observations = new Observations()
    const connection = observe(observations, 'one', LIE)
    observations.add(connection, { local: LOCAL, external: HONEST, observer: 'one', dialed: true })

    expect(observations.addresses()).to.deep.equal([{ local: LOCAL, external: HONEST, observers: 1 }])
  })

  it('tell the NAT mapping only from connections that we dialed', () => {
    const observations = new Observations()

    for (const observer of ['one', 'two', 'three', 'four']) {
      observations.add({}, { local: LOCAL, external: HONEST, observer, dialed: false })
    }

    expect(observations.mapping(LOCAL, 4)).to.equal('unknown')
  })
})

describe('NAT mapping', () => {
  it('is what the observers say', () => {
    expect(natMapping([], 4)).to.equal('unknown')
    expect(natMapping(['a'], 4)).to.equal('unknown')
    expect(natMapping(['a', 'a'], 4)).to.equal('endpoint-independent')
    expect(natMapping(['a', 'b'], 4)).to.equal('unknown')
    expect(natMapping(['a', 'a', 'b'], 4)).to.equal('endpoint-independent')
    expect(natMapping(['a', 'b', 'c'], 4)).to.equal('unknown')
    expect(natMapping(['a', 'b', 'c', 'd'], 4)).to.equal('endpoint-dependent')
    expect(natMapping(['a', 'a', 'a', 'a', 'lie'], 4)).to.equal('endpoint-independent')
    expect(natMapping(['a', 'b'], 2)).to.equal('endpoint-dependent')
    expect(natMapping(['a'], 1)).to.equal('unknown')
  })
})

describe('observer', () => {
  it('is an IPv4 address or a /56 of IPv6', () => {
    expect(observerOf('11.0.0.1')).to.not.equal(observerOf('11.0.0.2'))
    expect(observerOf('2b00:1:2:300::1')).to.equal(observerOf('2b00:1:2:3ff:ffff::'))
    expect(observerOf('2b00:1:2:300::1')).to.not.equal(observerOf('2b00:1:2:400::1'))
    expect(observerOf('2b00::1')).to.equal(observerOf('2b00:0:0:ff::2'))
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
