import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { chooseSources, needsRoute } from '../../src/port-reuse/choose-source.ts'
import type { Endpoint } from '../../src/endpoint.ts'
import type { Source } from '../../src/port-reuse/choose-source.ts'

const LOOPBACK: Endpoint = { host: '127.0.0.1', port: 1001 }
const LOOPBACK_2: Endpoint = { host: '127.0.0.2', port: 1002 }
const LOOPBACK_6: Endpoint = { host: '::1', port: 1003 }
const WILDCARD: Endpoint = { host: '0.0.0.0', port: 2001 }
const WILDCARD_2: Endpoint = { host: '0.0.0.0', port: 2002 }
const WILDCARD_6: Endpoint = { host: '::', port: 2003 }
const SPECIFIC: Endpoint = { host: '10.0.0.5', port: 3001 }
const SPECIFIC_2: Endpoint = { host: '10.1.0.5', port: 3002 }
const SPECIFIC_6: Endpoint = { host: 'fd00::5', port: 3003 }
const EVERYWHERE = [LOOPBACK, LOOPBACK_2, LOOPBACK_6, WILDCARD, WILDCARD_2, WILDCARD_6, SPECIFIC, SPECIFIC_2, SPECIFIC_6]

function choose (listening: Endpoint[], host: string, { routeSource, port = 4001 }: { routeSource?: string, port?: number } = {}): Source[] {
  return chooseSources(listening, { host, port }, routeSource)
}

function ports (sources: Source[]): number[] {
  return sources.map(({ port }) => port)
}

describe('choice of a source', () => {
  it('has none without listeners', () => {
    expect(choose([], '127.0.0.1')).to.be.empty()
  })

  it('prefers loopback listeners for a loopback destination, then the wildcard', () => {
    const sources = choose(EVERYWHERE, '127.0.0.1', { routeSource: '127.0.0.1' })

    expect(ports(sources).slice(0, 2)).to.have.members([1001, 1002])
    expect(ports(sources).slice(2)).to.have.members([2001, 2002])
    expect(sources.map(({ rule }) => rule)).to.deep.equal(['loopback', 'loopback', 'wildcard', 'wildcard'])
  })

  it('prefers the listener on the address that the kernel would use, then the wildcard', () => {
    const sources = choose(EVERYWHERE, '10.1.0.9', { routeSource: '10.1.0.5' })

    expect(sources[0]).to.deep.equal({ host: '10.1.0.5', port: 3002, rule: 'route' })
    expect(ports(sources).slice(1)).to.have.members([2001, 2002])
  })

  it('never uses a specific address that the kernel would not use', () => {
    expect(choose([SPECIFIC], '10.1.0.9', { routeSource: '10.1.0.5' })).to.be.empty()
  })

  it('never uses a loopback address for a destination elsewhere', () => {
    expect(choose([LOOPBACK, LOOPBACK_6], '10.1.0.9', { routeSource: '127.0.0.1' })).to.be.empty()
  })

  it('never uses the other address family', () => {
    expect(ports(choose(EVERYWHERE, 'fd00::9', { routeSource: 'fd00::5' }))).to.deep.equal([3003, 2003])
    expect(ports(choose(EVERYWHERE, '::1'))).to.deep.equal([1003, 2003])
    expect(choose([LOOPBACK_6, WILDCARD_6, SPECIFIC_6], '10.1.0.9')).to.be.empty()
  })

  it('uses the same port number as the destination has', () => {
    expect(ports(choose([WILDCARD], '10.0.0.9', { port: 2001 }))).to.deep.equal([2001])
  })

  it('picks among several at random', () => {
    const first = new Set(Array.from({ length: 200 }, () => choose([LOOPBACK, LOOPBACK_2], '127.0.0.1')[0].port))

    expect([...first]).to.have.members([1001, 1002])
  })

  describe('for any set of listeners and any destination', () => {
    const hosts4 = ['127.0.0.1', '127.0.0.2', '0.0.0.0', '10.0.0.5', '10.1.0.5']
    const hosts6 = ['::1', '::', 'fd00::5', 'fd01::5', 'fe80::1%eth0']
    const port = fc.integer({ min: 1, max: 4 })
    const endpoint = fc.record({ host: fc.constantFrom(...hosts4, ...hosts6), port })
    const destination = fc.record({ host: fc.constantFrom('127.0.0.1', '127.0.0.2', '127.9.9.9', '10.0.0.5', '10.0.0.9', '203.0.113.7', '::1', 'fd00::5', 'fd00::9', 'fe80::1%eth0'), port })
    const route = fc.option(fc.constantFrom('127.0.0.1', '::1', '10.0.0.5', '10.1.0.5', 'fd00::5', 'fd01::5', 'fe80::1%eth0'), { nil: undefined })

    /**
     * The rules once more, as plainly as they can be written: which endpoints may
     * come first?
     */
    function bestSources (listening: Endpoint[], to: Endpoint, routeSource: string | undefined): Endpoint[] {
      const is6 = to.host.includes(':')
      const toLoopback = to.host === '::1' || to.host.startsWith('127.')
      const wildcard = is6 ? '::' : '0.0.0.0'
      const loopback: Endpoint[] = []
      const route: Endpoint[] = []
      const wild: Endpoint[] = []

      for (const from of listening) {
        if (from.host.includes(':') !== is6) {
          continue
        }

        if (from.host === wildcard) {
          wild.push(from)
        } else if (from.host === '::1' || from.host.startsWith('127.')) {
          if (toLoopback) {
            loopback.push(from)
          }
        } else if (from.host === routeSource) {
          route.push(from)
        }
      }

      return [loopback, route, wild].find(endpoints => endpoints.length > 0) ?? []
    }

    it('obeys the rules', () => {
      fc.assert(fc.property(fc.uniqueArray(endpoint, { selector: ({ host, port }) => `${host} ${port}` }), destination, route, (listening, to, routeSource) => {
        const sources = chooseSources(listening, to, routeSource)
        const best = bestSources(listening, to, routeSource)

        expect(new Set(sources).size).to.equal(sources.length)
        expect(sources.length > 0).to.equal(best.length > 0)

        if (sources.length > 0) {
          expect(best).to.deep.include({ host: sources[0].host, port: sources[0].port })
        }

        // each rule's endpoints come before those of the next
        const rank = { loopback: 0, route: 1, wildcard: 2 }
        const ranks = sources.map(({ rule }) => rank[rule])
        expect(ranks).to.deep.equal([...ranks].sort())

        for (const source of sources) {
          expect(listening).to.deep.include({ host: source.host, port: source.port })
          expect(source.host.includes(':')).to.equal(to.host.includes(':'))
        }
      }), { numRuns: 5_000 })
    })

    it('chooses each of the best ones, sooner or later, and nothing else', () => {
      fc.assert(fc.property(fc.uniqueArray(endpoint, { maxLength: 6, selector: ({ host, port }) => `${host} ${port}` }), destination, route, (listening, to, routeSource) => {
        const best = bestSources(listening, to, routeSource)
        const chosen = new Set(Array.from({ length: 40 * best.length }, () => {
          const [{ host, port }] = chooseSources(listening, to, routeSource)

          return `${host} ${port}`
        }))

        expect([...chosen]).to.have.members(best.map(({ host, port }) => `${host} ${port}`))
      }), { numRuns: 200 })
    })
  })

  it('needs the route only for a listener on a specific address of the family', () => {
    const listening = [LOOPBACK, WILDCARD]
    expect(needsRoute(listening, { host: '10.9.9.9', port: 5001 })).to.equal(false)

    listening.push(SPECIFIC)
    expect(needsRoute(listening, { host: '10.9.9.9', port: 5001 })).to.equal(true)
    expect(needsRoute(listening, { host: '127.0.0.1', port: 5001 })).to.equal(false)
    expect(needsRoute(listening, { host: '2b00::1', port: 5001 })).to.equal(false)
  })
})
