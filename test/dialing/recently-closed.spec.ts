import { expect } from 'aegir/chai'
import { RecentlyClosed } from '../../src/dialing/recently-closed.ts'

describe('recently closed connections', () => {
  const remote = { host: '11.0.0.1', port: 4001 }

  it('are held for the time that was given', () => {
    const closed = new RecentlyClosed()
    closed.add(4001, remote, 1_000, 10_000)

    expect(closed.isHeld(4001, remote, 10_999)).to.equal(true)
    expect(closed.isHeld(4001, remote, 11_000)).to.equal(false)
  })

  it('are no longer held when there is such a connection again', () => {
    const closed = new RecentlyClosed()
    closed.add(4001, remote, 1_000)
    closed.remove(4001, remote)

    expect(closed.isHeld(4001, remote)).to.equal(false)
  })

  it('are told apart by both ends', () => {
    const closed = new RecentlyClosed()
    closed.add(4001, remote, 1_000)

    expect(closed.isHeld(4002, remote)).to.equal(false)
    expect(closed.isHeld(4001, { ...remote, host: '11.0.0.2' })).to.equal(false)
    expect(closed.isHeld(4001, { ...remote, port: 4002 })).to.equal(false)
  })

  it('are held longer if they close again', () => {
    const closed = new RecentlyClosed()
    closed.add(4001, remote, 1_000, 0)
    closed.add(4001, remote, 1_000, 900)
    closed.add(4001, { ...remote, port: 1 }, 1_000, 1_500)

    expect(closed.isHeld(4001, remote, 1_800)).to.equal(true)
  })
})
