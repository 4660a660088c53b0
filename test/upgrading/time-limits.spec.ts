import { expect } from 'aegir/chai'
import { ACCEPTED_SILENCE_MS, dialedSilence } from '../../src/upgrading/time-limits.ts'

/**
 * When the first bytes of an initiator arrive at a responder that dialed, in ms after that
 * is connected, with one frame lost: by the timers of Linux and the order of the frames
 */
const LATEST: Record<string, (roundTrip: number) => number> = {
  'nothing, our SYN got to its listener': roundTrip => roundTrip + ACCEPTED_SILENCE_MS,
  'our ACK to its listener': roundTrip => 1_000 + roundTrip + ACCEPTED_SILENCE_MS,
  'the first data of its listener': roundTrip => 2 * roundTrip + ACCEPTED_SILENCE_MS + Math.max(200, 2 * roundTrip),
  'our SYN-ACK in a simultaneous open': roundTrip => 1_000 + roundTrip,
  'its first data in a simultaneous open': roundTrip => 1_000 + 2 * roundTrip
}

describe('the silence of a responder that dialed', () => {
  for (const [lost, latest] of Object.entries(LATEST)) {
    it(`is longer than it takes an initiator if this is lost: ${lost}`, () => {
      for (let roundTrip = 0; roundTrip <= 500; roundTrip += 10) {
        expect(dialedSilence(roundTrip), `${roundTrip} ms`).to.be.greaterThan(latest(roundTrip))
      }
    })
  }

  it('is not longer if it was our SYN that was lost', () => {
    expect(dialedSilence(1_100)).to.equal(dialedSilence(100))
  })

  it('leaves half of the five seconds of an attempt to the exchange, the dial and the upgrade', () => {
    expect(dialedSilence(100)).to.be.below(2_000)
    expect(Math.max(...[0, 500, 999, 1_500, 4_000].map(dialedSilence))).to.be.below(2_800)
  })
})
