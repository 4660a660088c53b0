import { expect } from 'aegir/chai'
import { Suspicion } from '../../src/dialing/suspended-endpoints.ts'
import { runInNamespace } from '../fixtures/namespace.ts'

const ENDPOINT = { host: '0.0.0.0', port: 4001 }
const OTHER = { host: '0.0.0.0', port: 4002 }
const TEN_MINUTES = 10 * 60_000

describe('suspicion', () => {
  it('suspends an endpoint that three different destinations did not answer, and says so once', () => {
    const suspicion = new Suspicion()

    expect(suspicion.unanswered(ENDPOINT, '10.0.0.1')).to.equal(false)
    expect(suspicion.unanswered(ENDPOINT, '10.0.0.1')).to.equal(false)
    expect(suspicion.unanswered(ENDPOINT, '10.0.0.2')).to.equal(false)
    expect(suspicion.isSuspended(ENDPOINT)).to.equal(false)

    expect(suspicion.unanswered(ENDPOINT, '10.0.0.3')).to.equal(true)
    expect(suspicion.unanswered(ENDPOINT, '10.0.0.4')).to.equal(false)
    expect(suspicion.isSuspended(ENDPOINT)).to.equal(true)
    expect(suspicion.isSuspended(OTHER)).to.equal(false)
  })

  it('takes the addresses of one IPv6 site for one destination', () => {
    const suspicion = new Suspicion()

    for (const host of ['2001:db8::1', '2001:db8::2', '2001:db8:0:0:3::', '2001:db8:0:ff::4']) {
      expect(suspicion.unanswered(ENDPOINT, host)).to.equal(false)
    }

    expect(suspicion.unanswered(ENDPOINT, '2001:db8:1::1')).to.equal(false)
    expect(suspicion.unanswered(ENDPOINT, '2001:db8:0:100::1')).to.equal(true)
  })

  it('does not suspend a port for three peers of one IPv6 site that do not answer it', async function () {
    const addresses = ['fd11::1', 'fd11::2', 'fd11::3', 'fd11::4', 'fd12::4', 'fd13::4']
    const setUp = addresses.map(address => `ip -6 address add ${address}/128 dev lo nodad`).join('\n')

    expect(await runInNamespace(this, setUp, 'one-site.ts')).to.deep.equal(['wildcard', 'ephemeral'])
  })

  it('is cleared by one that answers', () => {
    const suspicion = new Suspicion()
    suspicion.unanswered(ENDPOINT, '10.0.0.1')
    suspicion.unanswered(ENDPOINT, '10.0.0.2')
    suspicion.answered(ENDPOINT)

    expect(suspicion.unanswered(ENDPOINT, '10.0.0.3')).to.equal(false)
    expect(suspicion.isSuspended(ENDPOINT)).to.equal(false)
  })

  it('ends after ten minutes, and can come back', () => {
    const suspicion = new Suspicion()

    for (const start of [0, TEN_MINUTES]) {
      suspicion.unanswered(ENDPOINT, '10.0.0.1', start)
      suspicion.unanswered(ENDPOINT, '10.0.0.2', start)
      expect(suspicion.unanswered(ENDPOINT, '10.0.0.3', start)).to.equal(true)
      expect(suspicion.isSuspended(ENDPOINT, start + TEN_MINUTES - 1)).to.equal(true)
      expect(suspicion.isSuspended(ENDPOINT, start + TEN_MINUTES)).to.equal(false)
    }
  })
})
