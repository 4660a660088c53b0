import { expect } from 'aegir/chai'
import { bestFirst, stillTrue, superseded } from '../../src/observed/dials.ts'
import { mappingOf } from '../../src/observed/nat-mapping.ts'
import type { Endpoint } from '../../src/endpoint.ts'
import type { Dial } from '../../src/observed/dials.ts'

/** An address as HOST:PORT */
function endpoint (address: string): Endpoint {
  return { host: `11.0.0.${address.split(':')[0]}`, port: Number(address.split(':')[1]) }
}

/** The newest dial comes first. A dial whose connection has closed ends with `x` */
function dialsTo (dials: string): Dial[] {
  return dials.split(' ').filter(dial => dial !== '').map(dial => ({ external: endpoint(dial.replace('x', '')), isOpen: !dial.endsWith('x') }))
}

function written ({ external }: { external: Endpoint }): string {
  return `${external.host.split('.')[3]}:${external.port}`
}

describe('dials', () => {
  it('are false when newer ones agree on something else', () => {
    for (const [dials, expected] of [
      ['', ''],
      ['1:1 1:1', '1:1 1:1'],
      // one alone may lie
      ['2:1 1:1', '2:1 1:1'],
      ['2:1 1:1x 1:1x', '2:1 1:1 1:1'],
      ['2:1 2:1 1:1 1:1', '2:1 2:1'],
      ['2:1x 2:1x 1:1x 1:1 3:1x', '2:1 2:1'],
      // as many as are open for the old one
      ['2:1 2:1 1:1 1:1 1:1', '2:1 2:1 1:1 1:1 1:1'],
      ['2:1 2:1 1:1x 1:1 1:1', '2:1 2:1'],
      // without an exception
      ['2:1 1:1 2:1 2:1', '2:1 1:1 2:1 2:1'],
      // another port of the same host
      ['1:2 1:2 1:1', '1:2 1:2'],
      // a port for each destination, before and after a change
      ['1:4 1:3 1:2 1:1', '1:4 1:3 1:2 1:1'],
      ['2:4 2:3 1:2 1:1', '2:4 2:3']
    ]) {
      expect(stillTrue(dialsTo(dials)).map(written).join(' '), dials).to.equal(expected)
    }
  })

  it('must be as many as are asked for', () => {
    const dials = dialsTo('2:1 2:1 2:1 1:1x')

    expect([3, 4].map(least => superseded(dials, least)(endpoint('1:1')))).to.deep.equal([true, false])
  })

  it('put the newest address first, then those with open connections, then the newer ones', () => {
    const addresses = ['5:1', '4:1', '3:1', '2:1', '1:1', '9:1'].map(address => ({ external: endpoint(address), observers: 2, dialed: address === '9:1' ? 0 : 1 }))

    expect(bestFirst(addresses, dialsTo('1:1x 2:1x 3:1x 4:1')).map(written)).to.deep.equal(['1:1', '4:1', '2:1', '3:1', '9:1'])
    expect(bestFirst(addresses, dialsTo('1:1 1:1 4:1')).map(written)).to.deep.equal(['1:1', '9:1'])
  })

  it('tell the NAT mapping by what is still true', () => {
    for (const [dials, mapping] of [
      ['1:1', 'unknown'],
      ['1:1 1:1x', 'endpoint-independent'],
      ['1:4 1:3x 1:2x 1:1x', 'endpoint-dependent'],
      // four networks, each with another relay
      ['4:1 3:1x 2:1x 1:1x', 'unknown'],
      // connections that are dead and not closed yet
      ['2:1 2:1 2:1 1:1 1:1 1:1', 'endpoint-independent'],
      ['2:4 2:3 2:2 2:1 1:1 1:1', 'endpoint-dependent']
    ]) {
      expect(mappingOf(dialsTo(dials), 4), dials).to.equal(mapping)
    }
  })
})
