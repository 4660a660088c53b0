import { expect } from 'aegir/chai'
import { runInNamespace } from '../fixtures/namespace.ts'

describe('address learner', () => {
  it('dials the relay once more, from the listening port, and closes that connection when it knows', async function () {
    expect(await runInNamespace(this, 'ip address add 11.0.0.1/32 dev lo', 'learning.ts')).to.deep.equal({
      before: 0,
      after: ['/ip4/0.0.0.0/tcp/4002: /ip4/11.0.0.1/tcp/4002 1'],
      connections: ['the first one'],
      dialed: ['the relay'],
      results: ['address_learned']
    })
  })
})
