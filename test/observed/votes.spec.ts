import { expect } from 'aegir/chai'
import { Votes } from '../../src/observed/votes.ts'
import type { Endpoint } from '../../src/endpoint.ts'

const HERE: Endpoint = { host: '11.0.0.9', port: 4001 }
const THERE: Endpoint = { host: '11.6.6.6', port: 666 }
const ELSEWHERE: Endpoint = { host: '11.0.0.9', port: 4002 }

describe('votes', () => {
  /** Votes of so many observers */
  function vote (votes: Votes, external: Endpoint, dialed: boolean, times: number): void {
    for (let i = 0; i < times; i++) {
      votes.count(external, dialed, 1)
    }
  }

  function ranked (votes: Votes): Endpoint[] {
    return votes.addresses.map(({ external }) => external)
  }

  it('put what those see that we dialed first, however many dialed us', () => {
    const votes = new Votes()
    vote(votes, THERE, false, 50)
    vote(votes, HERE, true, 1)

    expect(votes.addresses.map(({ external, observers, dialed }) => ({ external, observers, dialed }))).to.deep.equal([
      { external: HERE, observers: 1, dialed: 1 },
      { external: THERE, observers: 50, dialed: 0 }
    ])
  })

  it('put what most see first, and of two that as many see what was seen first', () => {
    const votes = new Votes()
    vote(votes, HERE, true, 1)
    vote(votes, THERE, true, 1)
    vote(votes, ELSEWHERE, true, 1)
    expect(ranked(votes)).to.deep.equal([HERE, THERE, ELSEWHERE])

    vote(votes, ELSEWHERE, false, 1)
    expect(ranked(votes)).to.deep.equal([ELSEWHERE, HERE, THERE])

    vote(votes, THERE, true, 1)
    expect(ranked(votes)).to.deep.equal([THERE, ELSEWHERE, HERE])
  })

  it('know an address for as long as an observer sees it', () => {
    const votes = new Votes()
    vote(votes, HERE, true, 1)
    vote(votes, HERE, false, 1)
    expect(votes.of(HERE)).to.include({ observers: 2, dialed: 1 })

    votes.count(HERE, true, -1)
    expect(votes.of(HERE)).to.include({ observers: 1, dialed: 0 })

    votes.count(HERE, false, -1)
    expect(votes.of(HERE)).to.deep.equal({ observers: 0, dialed: 0 })
    expect(votes.addresses).to.be.empty()
  })
})
