import { mock } from 'node:test'
import { expect } from 'aegir/chai'
import { punchLimits, withPunchLimits } from '../../src/dcutr/punch-limits.ts'
import { dialedSilence, initiatorSilence } from '../../src/upgrading/time-limits.ts'
import type { Connection } from '@libp2p/interface'

describe('the limits of a punch', () => {
  const limits = { connecting: 3_000, upgrading: () => 2_000, answering: 0 }
  let relayed: Pick<Connection, 'status'>

  beforeEach(() => {
    relayed = { status: 'open' }
    mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  })

  afterEach(() => { mock.timers.reset() })

  /** A dial that ends only with its signal. Where it connects, it says so */
  function dial (connects: number[]): { signal: AbortSignal, over: Promise<unknown> } {
    let signal = new AbortController().signal
    const over = withPunchLimits(signal, limits, relayed as Connection, async (limited, onConnected) => {
      signal = limited
      connects.forEach(after => { setTimeout(() => { onConnected(after) }, after) })

      return new Promise((resolve, reject) => { limited.addEventListener('abort', () => { reject(limited.reason) }) })
    })
    over.catch(() => {})

    return { signal, over }
  }

  async function endsAfter (ms: number, { signal, over }: ReturnType<typeof dial>): Promise<void> {
    // a tick is at its end when its timers run, so it must be short
    for (let i = 1; i < ms; i++) {
      mock.timers.tick(1)
    }

    expect(signal.aborted).to.equal(false)
    mock.timers.tick(1)
    await expect(over).to.eventually.be.rejected().with.property('name', 'TimeoutError')
  }

  it('are that of connecting if nothing connects', async () => {
    await endsAfter(3_000, dial([]))
  })

  it('are that of the upgrade when an address is connected', async () => {
    await endsAfter(4_500, dial([2_500]))
    await endsAfter(2_100, dial([100]))
  })

  it('are the sum of both at most, whatever connects when', async () => {
    await endsAfter(4_999, dial([2_000, 2_999, 3_500, 4_500]))
  })

  it('let the upgrade go on if the peer has closed the relayed connection for it', async () => {
    const dialing = dial([2_500])
    relayed.status = 'closed'
    await endsAfter(4_500 + 10_000, dialing)
  })

  it('cover two lost frames in a row and an upgrade, near and far', () => {
    // the third SYN leaves after 3 s. Data that is lost twice takes three times as long as it
    // takes to notice
    for (const [relay, direct, upgrading] of [[80, 40, 3 * 80 + 250 + 3 * 240], [1_200, 600, 3 * 850 + 250 + 3 * 1_800], [2_000, 2_000, 10_000]]) {
      const found = punchLimits('initiator', relay)
      expect(found.connecting).to.be.within(3_000 + relay, 3_500 + relay)
      expect(found.upgrading(direct)).to.equal(upgrading)
    }
  })

  it('leave no time for lost data if the kernel sends it again later than a new attempt', () => {
    expect(punchLimits('initiator', 80).upgrading(1_040)).to.equal(initiatorSilence(1_040) + 3 * 80 + 250)
  })

  it('cover the silence of a responder', () => {
    expect(punchLimits('responder', 40).upgrading(40)).to.equal(dialedSilence(40) + punchLimits('initiator', 40).upgrading(40))
  })

  it('hardly follow a round trip over the relay that is longer than the direct one', () => {
    expect(punchLimits('initiator', 2_000).upgrading(40)).to.equal(3 * (40 + 250) + 250 + 3 * 240)
  })

  it('do not follow a round trip that a peer stretches', () => {
    for (const limit of ['connecting', 'answering'] as const) {
      expect(punchLimits('initiator', 60_000)[limit]).to.equal(punchLimits('initiator', 2_000)[limit])
    }
  })
})
