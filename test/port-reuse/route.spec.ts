import { expect } from 'aegir/chai'
import { isOwnAddress, routeSource } from '../../src/port-reuse/route.ts'
import { runInNamespace } from '../fixtures/namespace.ts'
import { HAS_SO_REUSEPORT } from '../fixtures/system.ts'

/** Addresses that are not loopback */
const ADDRESSES = `
ip address add 11.0.0.1/32 dev lo
ip address add 11.0.1.1/32 dev lo
ip -6 address add fd11::1/128 dev lo nodad
ip -6 address add fe80::11/64 dev lo nodad
`

interface Observed {
  specific: number
  other: number
  wildcard: number
  seen: Record<string, { port: number, rule: string }>
  own: Record<string, boolean>
  routes: Record<string, string | undefined>
  withoutAddress: string[]
  linkLocal: { port: number, peerPort: number, overlapping: string, dialed: object, accepted: string }
}

describe('route', () => {
  it('of a loopback address is loopback', async () => {
    expect(await routeSource({ host: '127.0.0.1', port: 4001 })).to.equal('127.0.0.1')
    expect(await routeSource({ host: '::1', port: 4001 })).to.equal('::1')
    expect(isOwnAddress('127.0.0.1')).to.equal(true)
  })

  it('decides which of the listeners on specific addresses is dialed from', async function () {
    const { specific, other, wildcard, seen, own, routes, withoutAddress, linkLocal }: Observed = await runInNamespace(this, ADDRESSES, 'specific-addresses.ts')

    expect(seen['11.0.0.1']).to.deep.equal({ port: specific, rule: 'route' })
    expect(seen['11.0.1.1']).to.deep.equal({ port: other, rule: 'route' })
    expect(seen['127.0.0.1']).to.deep.equal({ port: wildcard, rule: 'wildcard' })
    expect(seen['fd11::1']).to.have.property('rule', 'no_listener')
    // our own listener, at the port it would be dialed from
    expect(seen['wildcard listener']).to.deep.equal({ port: specific, rule: 'route' })
    expect(seen['specific listener']).to.deep.equal({ port: wildcard, rule: 'wildcard' })
    expect(own).to.deep.equal({ '11.0.0.1': true, '11.0.0.2': false, 'fd11::1': true })
    // the listener on an address that is gone is in nobody's way
    expect(withoutAddress).to.deep.equal(['route', 'wildcard'])
    expect(routes).to.deep.equal({ '11.0.1.1': '11.0.1.1' })
    // the listening port is at both ends of the same connection, each with its zone
    expect(linkLocal.dialed).to.deep.equal({ local: `/ip6zone/lo/ip6/fe80::11/tcp/${linkLocal.port}`, rule: 'route' })
    expect(linkLocal.overlapping).to.equal(HAS_SO_REUSEPORT ? `bind EADDRINUSE fe80::11%lo:${linkLocal.peerPort}` : 'listens')
    expect(linkLocal.accepted).to.equal(`/ip6zone/lo/ip6/fe80::11/tcp/${linkLocal.port}`)
  })
})
