import { expect } from 'aegir/chai'
import { SuspendedEndpoints } from '../../src/dialing/suspended-endpoints.ts'

const ENDPOINT = { host: '0.0.0.0', port: 4001 }
const OTHER = { host: '0.0.0.0', port: 4002 }
const TEN_MINUTES = 10 * 60_000

describe('suspended endpoints', () => {
  it('suspends an endpoint that three different destinations did not answer, and says so once', () => {
    const suspended = new SuspendedEndpoints()

    expect(suspended.unanswered(ENDPOINT, '10.0.0.1')).to.equal(false)
    expect(suspended.unanswered(ENDPOINT, '10.0.0.1')).to.equal(false)
    expect(suspended.unanswered(ENDPOINT, '10.0.0.2')).to.equal(false)
    expect(suspended.has(ENDPOINT)).to.equal(false)

    expect(suspended.unanswered(ENDPOINT, '10.0.0.3')).to.equal(true)
    expect(suspended.unanswered(ENDPOINT, '10.0.0.4')).to.equal(false)
    expect(suspended.has(ENDPOINT)).to.equal(true)
    expect(suspended.has(OTHER)).to.equal(false)
  })

  it('takes the addresses of one IPv6 site for one destination', () => {
    const suspended = new SuspendedEndpoints()

    for (const host of ['2001:db8::1', '2001:db8::2', '2001:db8:0:0:3::', '2001:db8:0:ff::4']) {
      expect(suspended.unanswered(ENDPOINT, host)).to.equal(false)
    }

    expect(suspended.unanswered(ENDPOINT, '2001:db8:1::1')).to.equal(false)
    expect(suspended.unanswered(ENDPOINT, '2001:db8:0:100::1')).to.equal(true)
  })

  it('is cleared by one that answers', () => {
    const suspended = new SuspendedEndpoints()
    suspended.unanswered(ENDPOINT, '10.0.0.1')
    suspended.unanswered(ENDPOINT, '10.0.0.2')
    suspended.answered(ENDPOINT)

    expect(suspended.unanswered(ENDPOINT, '10.0.0.3')).to.equal(false)
    expect(suspended.has(ENDPOINT)).to.equal(false)
  })

  it('ends after ten minutes, and can come back', () => {
    const suspended = new SuspendedEndpoints()

    for (const start of [0, TEN_MINUTES]) {
      suspended.unanswered(ENDPOINT, '10.0.0.1', start)
      suspended.unanswered(ENDPOINT, '10.0.0.2', start)
      expect(suspended.unanswered(ENDPOINT, '10.0.0.3', start)).to.equal(true)
      expect(suspended.has(ENDPOINT, start + TEN_MINUTES - 1)).to.equal(true)
      expect(suspended.has(ENDPOINT, start + TEN_MINUTES)).to.equal(false)
    }
  })
})
