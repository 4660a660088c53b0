import { expect } from 'aegir/chai'
import { runInNamespace } from '../fixtures/namespace.ts'

/**
 * What peers make a whole node do that dial it over a relay
 */
describe('strangers who dial over a relay', function () {
  /** 11.0.0.1 is everybody. Nobody answers in 12.0.0.0/8, and what is left must not be dialed */
  const NET = `
    ip address add 11.0.0.1/32 dev lo
    ip route add local 12.0.0.0/8 dev lo
    ip address add 10.0.0.1/32 dev lo
    ip address add 169.254.169.254/32 dev lo
    for net in 64:ff9b::/96 fec0::/10 ::/96 2002::/16 3fff::/20; do ip route add local $net dev lo; done
  `

  for (const what of ['one silent peer', '24 silent peers']) {
    it(`24 relayed connections of ${what} hold up nobody`, async function () {
      const { time } = await runInNamespace(this, NET, 'strangers.ts', what)

      expect(time).to.be.below(1_000)
    })
  }

  it('who names black holes has the share of the relay, and nobody over another one waits', async function () {
    const { time, most } = await runInNamespace(this, NET, 'strangers.ts', 'black holes')

    expect(most).to.equal(32)
    expect(time).to.be.below(1_000)
  })

  it('only public addresses are dialed, whatever a name resolves to', async function () {
    expect(await runInNamespace(this, NET, 'strangers.ts', 'addresses that are not public')).to.deep.equal({ names: 0, literals: 0, public: 1 })
  })

  it('stop() ends dials, what waits for a dial, and what waits for an answer', async function () {
    const { dials, connections, endsAfter } = await runInNamespace(this, NET, 'strangers.ts', 'stop')

    expect({ dials, connections }).to.deep.equal({ dials: 0, connections: 0 })
    expect(endsAfter).to.be.below(10_000)
  })
})
