import { expect } from 'aegir/chai'
import { runInNamespace } from '../fixtures/namespace.ts'

/** What peers that dial a whole node over a relay hold up. How much they make it dial is in amplification.spec */
describe('strangers who dial over a relay', function () {
  async function play (test: Mocha.Context, what: string): Promise<any> {
    return runInNamespace(test, '', 'amplification/index.ts', what)
  }

  for (const what of ['one silent peer', '24 silent peers']) {
    it(`24 relayed connections of ${what} hold up nobody`, async function () {
      expect((await play(this, what)).time).to.be.below(1_000)
    })
  }

  it('who names black holes has the share of the relay, and nobody over another one waits', async function () {
    expect((await play(this, 'black holes')).time).to.be.below(1_000)
  })

  it('stop() ends dials, what waits for a dial, and what waits for an answer', async function () {
    expect(await play(this, 'stop')).to.deep.equal({ left: [], dials: 0, connections: 0 })
  })
})
