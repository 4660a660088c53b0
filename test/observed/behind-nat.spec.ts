import { expect } from 'aegir/chai'
import { runInNamespace } from '../fixtures/namespace.ts'

/** Whole nodes, of which one is behind a NAT */
describe('observed addresses behind a NAT', () => {
  async function play (test: Mocha.Context, what: string): Promise<any> {
    const routes = [11, 12, 13, 14, 15, 16, 17].map(network => `ip route add local ${network}.0.0.0/8 dev lo src 10.0.0.1`)

    return runInNamespace(test, ['ip address add 10.0.0.1/32 dev lo', ...routes].join('\n'), 'behind-nat.ts', what)
  }

  it('are the new ones first, as soon as one peer has told, in each network that a node roams to', async function () {
    const { first, last, mappings } = await play(this, 'roaming')

    expect(first.map(([address]: string[]) => address)).to.deep.equal([1, 2, 3, 4].map(network => `11.0.0.${network}:4001`))
    expect(last).to.deep.equal(['11.0.0.4:4001'])
    expect(mappings).to.deep.equal(['endpoint-independent'])
  })

  it('are not announced any more when four peers that we dialed see another public IP address', async function () {
    expect(await play(this, 'moving')).to.deep.equal({ announced: '', handedOver: ['11.0.0.2:4001'] })
  })

  it('are announced if their port is forwarded by a NAT that has another port for each destination', async function () {
    expect(await play(this, 'forwarded port')).to.deep.equal(['', '', '', '11.0.0.1:4001', '11.0.0.1:4001', '11.0.0.1:4001'])
  })

  it('are not announced if it is not forwarded', async function () {
    expect(await play(this, 'port that is not forwarded')).to.deep.equal(['', '', '', '', '', ''])
  })

  it('are guessed if a NAT counts', async function () {
    const { next, seen } = await play(this, 'counting')

    expect(next).to.have.lengthOf(8)
    expect(next[0]).to.equal(seen)
  })

  it('are the last three that were observed if it does not count', async function () {
    expect(await play(this, 'random')).to.have.lengthOf(3)
  })
})
