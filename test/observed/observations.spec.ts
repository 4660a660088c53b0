import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { mappingOf } from '../../src/observed/nat-mapping.ts'
import { Observations } from '../../src/observed/observations.ts'
import type { Endpoint } from '../../src/endpoint.ts'
import type { Observation } from '../../src/observed/observations.ts'

const LOCAL: Endpoint = { host: '0.0.0.0', port: 4001 }
const HONEST: Endpoint = { host: '11.0.0.9', port: 4001 }
const LIE: Endpoint = { host: '11.6.6.6', port: 666 }
const TEN_MINUTES = 10 * 60_000

let connections = 0

function observe (observations: Observations, observer: string, external: Endpoint, now?: number, dialed: boolean = true): object {
  const connection = {}
  observations.add(connection, { local: LOCAL, external, observer, dialed, began: connections++ }, now)

  return connection
}

function addresses (observations: Observations, now?: number): any[] {
  return observations.endpoints(now).flatMap(({ local, votes }) => votes.addresses.map(({ external, observers, dialed }) => ({ local, external, observers, dialed })))
}

describe('observations', () => {
  it('count each observer once, however many connections it has and whatever it says on them', () => {
    const observations = new Observations()

    for (let i = 0; i < 5; i++) {
      observe(observations, 'one', { ...LIE, port: 1 + i })
    }

    observe(observations, 'one', HONEST)
    observe(observations, 'two', HONEST)
    expect(addresses(observations)).to.deep.equal([{ local: LOCAL, external: HONEST, observers: 2, dialed: 2 }])
  })

  it('let no liar outvote four honest peers', () => {
    const observations = new Observations()

    for (const observer of ['one', 'two', 'three', 'four']) {
      observe(observations, observer, HONEST)
    }

    for (let i = 0; i < 10_000; i++) {
      observe(observations, 'liar', { ...LIE, port: 1 + i % 60_000 })
    }

    expect(addresses(observations)).to.deep.equal([
      { local: LOCAL, external: HONEST, observers: 4, dialed: 4 },
      { local: LOCAL, external: { ...LIE, port: 10_000 }, observers: 1, dialed: 1 }
    ])
    expect(mappingOf(observations.dials(LOCAL), 4)).to.equal('endpoint-independent')
  })

  it('are bounded, and those of closed connections go first', () => {
    const observations = new Observations()
    const open = observe(observations, 'open', HONEST)

    for (let i = 0; i < 5_000; i++) {
      observations.close(observe(observations, `observer ${i}`, { ...LIE, port: 1 + i }))
    }

    expect(addresses(observations)).to.have.lengthOf(1_000)
    expect(addresses(observations)).to.deep.include({ local: LOCAL, external: HONEST, observers: 1, dialed: 1 })
    observations.close(open)
  })

  it('of peers that dialed us push out none of those that we dialed', () => {
    const observations = new Observations()

    for (let i = 0; i < 4; i++) {
      observations.close(observe(observations, `dialed ${i}`, HONEST))
    }

    // of one host with a peer that we dialed, as behind a NAT of a provider
    for (let i = 0; i < 20; i++) {
      observe(observations, 'dialed 0', LIE, undefined, false)
    }

    for (let i = 0; i < 5_000; i++) {
      observe(observations, `stranger ${i}`, LIE, undefined, false)
    }

    expect(addresses(observations)[0]).to.deep.equal({ local: LOCAL, external: HONEST, observers: 4, dialed: 4 })
    expect(observations.votes(LOCAL).of(LIE)).to.have.property('observers', 996)
  })

  it('are forgotten ten minutes after their connection has closed, not before', () => {
    const observations = new Observations()
    const connection = observe(observations, 'one', HONEST, 0)

    expect(addresses(observations, 100 * TEN_MINUTES)).to.have.lengthOf(1)
    observations.close(connection, 100 * TEN_MINUTES)
    expect(addresses(observations, 101 * TEN_MINUTES - 1)).to.have.lengthOf(1)
    expect(addresses(observations, 101 * TEN_MINUTES)).to.be.empty()
  })

  it('are current while a connection that we dialed is open, and for the four minutes that a NAT keeps its mapping', () => {
    const observations = new Observations()
    observe(observations, 'inbound', HONEST, 0, false)
    expect(observations.isCurrent(LOCAL, 0)).to.equal(false)

    const connection = observe(observations, 'dialed', HONEST, 0)
    expect(observations.isCurrent(LOCAL, TEN_MINUTES)).to.equal(true)
    expect(observations.isCurrent({ host: '::', port: 4001 }, TEN_MINUTES)).to.equal(false)

    observations.close(connection, TEN_MINUTES)
    expect(observations.isCurrent(LOCAL, TEN_MINUTES + 4 * 60_000 - 1)).to.equal(true)
    expect(observations.isCurrent(LOCAL, TEN_MINUTES + 4 * 60_000)).to.equal(false)
  })

  it('of dials are the newest of each observer, without those from an address that this host no longer has', () => {
    const observations = new Observations()
    const dialFrom = (began: number, observer: string, source?: string): object => {
      const connection = {}
      observations.add(connection, { local: LOCAL, external: { ...HONEST, port: began }, observer, dialed: true, began, source }, 0)

      return connection
    }
    const last = dialFrom(3, 'one')
    dialFrom(1, 'one')
    dialFrom(2, 'two', '127.0.0.1')
    dialFrom(4, 'three', '192.0.2.1')
    observe(observations, 'inbound', LIE, 0, false)
    observations.close(last, 0)

    expect(observations.dials(LOCAL, 0).map(({ external: { port }, isOpen }) => [port, isOpen])).to.deep.equal([[3, false], [2, true]])
  })

  it('are replaced by what the same connection says later', () => {
    const observations = new Observations()
    const connection = observe(observations, 'one', LIE)
    observations.add(connection, { local: LOCAL, external: HONEST, observer: 'one', dialed: true, began: 0 })

    expect(addresses(observations)).to.deep.equal([{ local: LOCAL, external: HONEST, observers: 1, dialed: 1 }])
  })

  describe('of a peer that changes its word on one connection', () => {
    const said: Observation = { local: LOCAL, external: HONEST, observer: 'one', dialed: true, began: Infinity }

    function change (observations: Observations, connection: object, times: number, now: number): void {
      for (let i = 0; i < times; i++) {
        observations.add(connection, { ...said, external: { ...LIE, port: 1 + i } }, now)
      }
    }

    it('count for nothing after the third change, on none of its connections, for ten minutes', () => {
      const observations = new Observations()
      observe(observations, 'two', HONEST, 0)
      observe(observations, 'one', HONEST, 0)
      const connection = observe(observations, 'one', HONEST, 0)

      change(observations, connection, 2, 0)
      expect(addresses(observations, 0)).to.have.lengthOf(2)

      change(observations, connection, 1, 0)
      observe(observations, 'one', LIE, TEN_MINUTES - 1)
      expect(addresses(observations, TEN_MINUTES - 1)).to.deep.equal([{ local: LOCAL, external: HONEST, observers: 1, dialed: 1 }])

      observe(observations, 'one', HONEST, TEN_MINUTES)
      expect(addresses(observations, TEN_MINUTES)).to.deep.equal([{ local: LOCAL, external: HONEST, observers: 2, dialed: 2 }])
    })

    it('are those of one that has changed it, after ten minutes without a change', () => {
      const observations = new Observations()
      const connection = observe(observations, 'one', HONEST, 0)

      for (const now of [0, TEN_MINUTES]) {
        change(observations, connection, 2, now)
        expect(addresses(observations, now)).to.have.lengthOf(1)
      }
    })

    it('are those of one that says the same again, or another address on another connection', () => {
      const observations = new Observations()

      for (let port = 1; port < 10; port++) {
        const connection = observe(observations, 'one', { ...HONEST, port }, 0)
        observations.add(connection, { ...said, external: { ...HONEST, port } }, 0)
      }

      expect(addresses(observations, 0)).to.have.lengthOf(1)
    })
  })

  it('are counted as they change as if all were counted each time', () => {
    const locals = [LOCAL, { host: '::', port: 4001 }]
    const step = fc.record({
      connection: fc.oneof(fc.nat(20), fc.nat(1_200)),
      local: fc.nat(1),
      external: fc.nat(5),
      observer: fc.oneof(fc.constant(0), fc.nat(150)),
      dialed: fc.boolean(),
      close: fc.boolean(),
      later: fc.oneof({ weight: 20, arbitrary: fc.constant(0) }, fc.constant(TEN_MINUTES / 2)),
      times: fc.oneof({ weight: 10, arbitrary: fc.constant(1) }, fc.constant(400))
    })

    fc.assert(fc.property(fc.array(step, { minLength: 40, maxLength: 80 }), steps => {
      const observations = new Observations()
      const naive = new NaiveObservations()
      const connections = Array.from({ length: 1_601 }, () => ({}))
      let now = 0

      for (const { connection, local, external, observer, dialed, close, later, times } of steps) {
        now += later

        for (let i = 0; i < times; i++) {
          if (close) {
            observations.close(connections[connection + i], now)
            naive.close(connections[connection + i], now)
          } else {
            const observation: Observation = {
              local: locals[local],
              external: { ...HONEST, port: 1 + external },
              observer: `${observer + i}`,
              dialed,
              began: connection + i
            }
            observations.add(connections[connection + i], observation, now)
            naive.add(connections[connection + i], observation, now)
          }
        }

        for (const endpoint of locals) {
          const votes = observations.votes(endpoint, now)
          const expected = naive.count(endpoint, now)
          const counts = votes.addresses.map(({ external, observers, dialed }) => ({ port: external.port, observers, dialed }))

          expect([...counts].sort((a, b) => a.port - b.port)).to.deep.equal(expected)
          expect(counts.every(({ observers, dialed }, i) => i === 0 || dialed < counts[i - 1].dialed || (dialed === counts[i - 1].dialed && observers <= counts[i - 1].observers))).to.equal(true)
        }
      }
    }), { numRuns: 30 })
  })
})

interface NaiveObservation extends Observation {
  connection: object
  closed?: number
  closing?: number
}

/** The same, without any count that is kept */
class NaiveObservations {
  #kept: NaiveObservation[] = []
  #closings = 0
  readonly #changes: Array<{ observer: string, now: number }> = []

  add (connection: object, observation: Observation, now: number): void {
    this.#forget(now)
    const { observer, external } = observation
    const earlier = this.#kept.find(kept => kept.connection === connection)

    if (earlier != null && earlier.external.port !== external.port) {
      this.#changes.push({ observer, now })
    }

    if (this.#changesOf(observer, now) >= 3) {
      this.#kept = this.#kept.filter(kept => kept.observer !== observer)
      return
    }

    this.#kept = [...this.#kept.filter(kept => kept.connection !== connection), { ...observation, connection }]
    this.#drop(this.#kept.filter(({ observer }) => observer === observation.observer), 8, ({ closed }) => closed == null ? 1 : 0)
    this.#drop(this.#kept, 1_000, ({ closing = Infinity }) => closing)
  }

  close (connection: object, now: number): void {
    this.#kept = this.#kept.map(kept => kept.connection === connection && kept.closed == null ? { ...kept, closed: now, closing: this.#closings++ } : kept)
  }

  count (local: Endpoint, now: number): Array<{ port: number, observers: number, dialed: number }> {
    this.#forget(now)
    const said = this.#kept.filter(kept => kept.local === local)
    const votes = [...new Set(said.map(({ observer }) => observer))].map(observer => {
      const ofObserver = said.filter(kept => kept.observer === observer).sort((a, b) => a.began - b.began)

      return ofObserver.findLast(({ dialed }) => dialed) ?? ofObserver[ofObserver.length - 1]
    })
    const ports = [...new Set(votes.map(({ external }) => external.port))].sort((a, b) => a - b)

    return ports.map(port => {
      const agreeing = votes.filter(({ external }) => external.port === port)

      return { port, observers: agreeing.length, dialed: agreeing.filter(({ dialed }) => dialed).length }
    })
  }

  /** Up to now, without ten minutes between two of them */
  #changesOf (observer: string, now: number): number {
    const times = this.#changes.filter(change => change.observer === observer).map(change => change.now)
    const pause = [...times, now].findLastIndex((time, i, all) => i > 0 && time - all[i - 1] >= TEN_MINUTES)

    return times.slice(Math.max(pause, 0)).length
  }

  /** Too many: those of inbound connections first, of these the closed ones */
  #drop (kept: NaiveObservation[], max: number, order: (kept: NaiveObservation) => number): void {
    if (kept.length > max) {
      const [worst] = kept
        .map((observation, i) => ({ observation, i }))
        .sort((a, b) => Number(a.observation.dialed) - Number(b.observation.dialed) || order(a.observation) - order(b.observation) || a.i - b.i)
      this.#kept = this.#kept.filter(each => each !== worst.observation)
    }
  }

  #forget (now: number): void {
    this.#kept = this.#kept.filter(({ closed }) => closed == null || now - closed < TEN_MINUTES)
  }
}
