import { expect } from 'aegir/chai'
import { runInNamespace } from '../fixtures/namespace.ts'

const ADDRESSES = ['10.0.0.1', ...[12, 13, 14, 15, 16, 17, 18, 19, 20, 21].map(network => `${network}.0.0.1`)]
const LISTENING = '/ip4/10.0.0.1/tcp/4001'
const CLAIMED = '/ip4/11.6.6.0/tcp/666'

describe('identify pushes of strangers', () => {
  it('make a node hand over one address, ask its AutoNAT servers about that, and offer what four agree on', async function () {
    const setUp = ADDRESSES.map(address => `ip address add ${address}/32 dev lo`).join('\n')
    const { candidates, handedOver, pushed, sent } = await runInNamespace(this, setUp, 'identify-pushes.ts')

    expect(pushed).to.equal(1_320)
    expect(candidates).to.deep.equal([[LISTENING], [LISTENING], [LISTENING], [CLAIMED, LISTENING]])
    expect(handedOver).to.deep.equal([CLAIMED])
    expect(sent).to.be.within(6 * 30_000, 1_000_000)
  })
})
