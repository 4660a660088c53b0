import { expect } from 'aegir/chai'
import { Suspicion } from '../src/suspicion.ts'

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
