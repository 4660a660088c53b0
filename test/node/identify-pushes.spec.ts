import { expect } from 'aegir/chai'
import { runInNamespace } from '../fixtures/namespace.ts'

const ADDRESSES = ['10.0.0.1', ...[12, 13, 14, 15, 16, 17, 18, 19, 20, 21].map(network => `${network}.0.0.1`)]

describe('identify pushes of strangers', () => {
  it('make a node hand over an address at most, and ask its AutoNAT servers about that', async function () {
    const setUp = ADDRESSES.map(address => `ip address add ${address}/32 dev lo`).join('\n')
    const { handedOver, pushed, sent } = await runInNamespace(this, setUp, 'identify-pushes.ts')

    expect(pushed).to.equal(1_320)
    expect(handedOver).to.deep.equal(['/ip4/11.6.6.0/tcp/666'])
    expect(sent).to.be.within(6 * 30_000, 1_000_000)
  })
})
