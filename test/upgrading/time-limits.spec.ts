import { expect } from 'aegir/chai'
import { dialedSilence, initiatorSilence, LATE_ARRIVAL_MS, PROTECTED_SILENCE_MS } from '../../src/upgrading/time-limits.ts'

/**
 * All numbers are ms, and worked out by hand. A SYN or SYN-ACK without an answer is sent again
 * after 1,000 (RFC 6298, section 2.1). Data is sent again after the round trip and four times
 * its variation, which is half of the first round trip (section 2.2), or 200 in Linux if that
 * is more: 200 with no round trip, 300 with one of 100, 750 with 250, 1,500 with 500. No round
 * trip is measured in a simultaneous open, where data is sent again after 1,000.
 */
describe('the silence of a listener in a private network', () => {
  it('is longer than it takes an initiator whose first data is lost, with a round trip of 100', () => {
    // its data follows this end's nonce, and is sent again 300 later
    expect(PROTECTED_SILENCE_MS).to.be.greaterThan(100 + 300)
  })

  it('is what the times below were worked out with', () => {
    expect(PROTECTED_SILENCE_MS).to.equal(510)
  })
})

describe('the silence of an initiator', () => {
  it('is for a dial that took longer than any responder waits', () => {
    expect(initiatorSilence(1_700)).to.equal(0)
    expect(initiatorSilence(Math.min(...[0, 100, 500].map(dialedSilence)))).to.be.greaterThan(0)
  })
})

/**
 * When the first bytes of an initiator arrive at a responder that dialed, after that is
 * connected, with one frame lost. By round trip
 */
const LATEST: Record<string, Record<number, number>> = {
  // our ACK arrives after half a round trip, the listener waits for 510, its data needs the other half
  'nothing, our SYN got to its listener': { 0: 510, 100: 610, 250: 760, 500: 1_010 },
  // the SYN-ACK comes again 1,000 after the first one, then as above
  'our ACK to its listener': { 0: 1_510, 100: 1_610, 250: 1_760, 500: 2_010 },
  // 200, 300, 750 or 1,500 later than if nothing is lost
  'the first data of its listener': { 0: 710, 100: 910, 250: 1_510, 500: 2_510 },
  // its own SYN-ACK goes out again after 1,000, our answer and its data take a round trip
  'our SYN-ACK in a simultaneous open': { 0: 1_000, 100: 1_100, 250: 1_250, 500: 1_500 },
  // its data is sent a round trip after we are connected at most, and needs another one with what is sent again after 1,000
  'its first data in a simultaneous open': { 0: 1_000, 100: 1_200, 250: 1_500, 500: 2_000 }
}

describe('the silence of a responder that dialed', () => {
  for (const [lost, latest] of Object.entries(LATEST)) {
    it(`is longer than it takes an initiator if this is lost: ${lost}`, () => {
      for (const [roundTrip, arrival] of Object.entries(latest)) {
        expect(dialedSilence(Number(roundTrip)), `${roundTrip} ms`).to.be.greaterThan(arrival)
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

describe('the time in which the dial of a peer may still arrive', () => {
  it('is longer than it takes one whose ACK is lost, with a round trip of 500, until it is known that it is silent', () => {
    // our SYN-ACK goes out again after 1,000, its ACK is here 500 later, and we wait for 510
    expect(LATE_ARRIVAL_MS).to.be.greaterThan(2_010)
  })
})
