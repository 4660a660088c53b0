import { mock } from 'node:test'
import { expect } from 'aegir/chai'
import { punchLimits, withPunchLimits } from '../../src/dcutr/punch-limits.ts'
import { dialedSilence } from '../../src/upgrading/time-limits.ts'
import type { Connection } from '@libp2p/interface'

describe('the limits of a punch', () => {
  const limits = { connecting: 3_000, upgrading: () => 2_000, answering: 0 }
  let relayed: Pick<Connection, 'status'>

  beforeEach(() => {
    relayed = { status: 'open' }
    mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  })

  afterEach(() => { mock.timers.reset() })

  /** A punch that ends only with its signal. Where it connects, it says so */
  function punch (connects: number[]): { signal: AbortSignal, over: Promise<unknown> } {
    let signal = new AbortController().signal
    const over = withPunchLimits([], limits, relayed as Connection, async (limited, onConnected) => {
      signal = limited
      connects.forEach(after => { setTimeout(onConnected, after) })

      return new Promise((resolve, reject) => { limited.addEventListener('abort', () => { reject(limited.reason) }) })
    })
    over.catch(() => {})

    return { signal, over }
  }

  async function endsAfter (ms: number, { signal, over }: ReturnType<typeof punch>): Promise<void> {
    // a tick is at its end when its timers run, so it must be short
    for (let i = 1; i < ms; i++) {
      mock.timers.tick(1)
    }

    expect(signal.aborted).to.equal(false)
    mock.timers.tick(1)
    await expect(over).to.eventually.be.rejected().with.property('name', 'TimeoutError')
  }

  it('is that of connecting if nothing connects', async () => {
    await endsAfter(3_000, punch([]))
  })

  it('begin again when an address is connected, and are not shorter then', async () => {
    await endsAfter(4_500, punch([2_500]))
    await endsAfter(3_000, punch([100]))
  })

  it('are the sum of both at most, whatever connects when', async () => {
    await endsAfter(4_999, punch([2_000, 2_999, 3_500, 4_500]))
  })

  it('let the upgrade go on if the peer has closed the relayed connection for it', async () => {
    const punching = punch([2_500])
    relayed.status = 'closed'
    await endsAfter(4_500 + 10_000, punching)
  })

  it('cover two lost frames in a row and an upgrade, near and far', () => {
    // the third SYN leaves after 3 s. An upgrade takes three round trips. Data that is lost twice
    // takes three times as long as it takes to notice, and 1,000 longer than that after a
    // simultaneous open
    for (const [roundTrip, upgrading] of [[40, 3 * 40 + 1_000 + 240], [600, 3 * 600 + 3 * 1_800], [1_200, 10_000]]) {
      const found = punchLimits('initiator', roundTrip)
      expect(found.connecting).to.be.within(3_000 + roundTrip, 3_500 + roundTrip)
      expect(found.upgrading(roundTrip)).to.equal(upgrading)
      expect(found.answering).to.equal(upgrading)
    }
  })

  it('cover the silence of a responder', () => {
    expect(punchLimits('responder', 40).upgrading(40)).to.equal(dialedSilence(40) + punchLimits('initiator', 40).upgrading(40))
  })

  it('follow the direct round trip if it is shorter than the one over the relay', () => {
    expect(punchLimits('initiator', 600).upgrading(40)).to.equal(punchLimits('initiator', 40).upgrading(40))
  })

  it('do not follow a round trip that a peer stretches', () => {
    for (const limit of ['connecting', 'answering'] as const) {
      expect(punchLimits('initiator', 60_000)[limit]).to.equal(punchLimits('initiator', 2_000)[limit])
    }
  })
})
