import { expect } from 'aegir/chai'
import { PortPool } from '../../src/port-reuse/port-pool.ts'
import type { Endpoint } from '../../src/endpoint.ts'

const LOOPBACK: Endpoint = { host: '127.0.0.1', port: 1001 }
const WILDCARD: Endpoint = { host: '0.0.0.0', port: 2001 }
const WILDCARD_6: Endpoint = { host: '::', port: 2003 }

describe('port-pool', () => {
  it('knows an endpoint while somebody listens on it', () => {
    const pool = new PortPool()
    const [first, second] = [pool.add(), pool.add()]

    first.listening(WILDCARD)
    second.listening(WILDCARD)
    expect(pool.endpoints).to.deep.equal([WILDCARD])

    first.remove()
    expect(pool.endpoints).to.deep.equal([WILDCARD])

    second.remove()
    expect(pool.endpoints).to.be.empty()
  })

  it('tells when the next listener has started or failed to', async () => {
    const pool = new PortPool()
    const [first, second] = [pool.add(), pool.add()]
    expect(pool.nextStart(4)).to.equal(undefined)

    first.starting(4)
    second.starting(4)
    const start = pool.nextStart(4)
    first.listening(LOOPBACK)
    await start

    let failed = false
    const failure = pool.nextStart(4)?.then(() => { failed = true })
    await Promise.resolve()
    expect(failed).to.equal(false)

    second.remove()
    await failure
    expect(pool.nextStart(4)).to.equal(undefined)
  })

  it('tells of starts by address family, also of one that begins anew', async () => {
    const pool = new PortPool()
    const entry = pool.add()
    entry.starting(6)
    expect(pool.nextStart(4)).to.equal(undefined)
    expect(pool.nextStart(6)).to.be.a('promise')

    entry.listening(WILDCARD_6)
    entry.paused()
    expect(pool.nextStart(6)).to.equal(undefined)

    entry.starting(6)
    const start = pool.nextStart(6)
    entry.paused()
    await start
    expect(pool.nextStart(6)).to.equal(undefined)
  })

  it('dials from a paused listener, but does not hold its port', () => {
    const pool = new PortPool()
    const entry = pool.add()

    entry.listening(LOOPBACK)
    expect(pool.holds(LOOPBACK)).to.equal(true)

    entry.paused()
    expect(pool.endpoints).to.deep.equal([LOOPBACK])
    expect(pool.holds(LOOPBACK)).to.equal(false)
  })

  it('holds a port at every address that overlaps', () => {
    const pool = new PortPool()
    pool.add().listening(WILDCARD)

    expect(pool.holds({ host: '10.0.0.5', port: 2001 })).to.equal(true)
    expect(pool.holds({ host: '10.0.0.5', port: 2002 })).to.equal(false)
    expect(pool.holds({ host: '::1', port: 2001 })).to.equal(false)
  })
})
