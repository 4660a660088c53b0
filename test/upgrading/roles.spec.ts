import { expect } from 'aegir/chai'
import { roleOf, rulesOf } from '../../src/upgrading/roles.ts'

describe('roles', () => {
  it('are what libp2p says by a boolean, and none in a plain dial', () => {
    expect(roleOf({ initiator: true })).to.equal('initiator')
    expect(roleOf({ initiator: false })).to.equal('responder')
    expect(roleOf({ initiator: null })).to.equal(undefined)
    expect(roleOf({})).to.equal(undefined)
  })

  it('are said to the muxer as the direction of the connection', () => {
    expect(rulesOf('initiator').direction).to.equal('outbound')
    expect(rulesOf('responder').direction).to.equal('inbound')
    expect(rulesOf().direction).to.equal('outbound')
  })

  it('have the one who is to speak first expect a dial of the peer, and the other one wait for its bytes', () => {
    for (const [role, expectsPeer, waits] of [['initiator', true, false], ['responder', false, true], [undefined, false, false]] as const) {
      const rules = rulesOf(role)

      expect([rules.expectsPeer, rules.silence(100) > 0], role).to.deep.equal([expectsPeer, waits])
    }
  })

  it('keep a hole punch to its one port, which a plain dial is not kept to', () => {
    for (const role of ['initiator', 'responder'] as const) {
      expect(rulesOf(role), role).to.include({ mayRace: false, mayCross: false, abortsWith: 'FIN and RST' })
    }

    expect(rulesOf()).to.include({ mayRace: true, mayCross: true, abortsWith: 'FIN' })
  })
})
