import { getEventListeners } from 'node:events'
import { expect } from 'aegir/chai'
import pDefer from 'p-defer'
import { race } from '../../src/dialing/race.ts'
import type { Attempt, RaceOptions } from '../../src/dialing/race.ts'

describe('race', () => {
  const controller = new AbortController()
  const discarded: string[] = []

  function options (others: Partial<RaceOptions<string>> = {}): RaceOptions<string> {
    return { delay: 20, signal: controller.signal, discard: result => { discarded.push(result) }, ...others }
  }

  async function never (signal: AbortSignal): Promise<string> {
    return new Promise((resolve, reject) => { signal.addEventListener('abort', () => { reject(signal.reason) }) })
  }

  afterEach(() => {
    discarded.length = 0
    expect(getEventListeners(controller.signal, 'abort')).to.be.empty()
  })

  it('fails without attempts', async () => {
    await expect(race([], options())).to.eventually.be.rejected().with.property('name', 'InvalidParametersError')
  })

  it('does not start the second attempt if the first is quick', async () => {
    let started = false

    expect(await race([async () => 'first', async () => {
      started = true
      return 'second'
    }], options())).to.equal('first')
    await new Promise(resolve => setTimeout(resolve, 40))
    expect(started).to.equal(false)
  })

  it('aborts the attempt that was slower', async () => {
    let aborted = false

    expect(await race([async signal => {
      signal.addEventListener('abort', () => { aborted = true })
      return never(signal)
    }, async () => 'second'], options())).to.equal('second')
    expect(aborted).to.equal(true)
  })

  it('discards the result of an attempt that finished at the same time', async () => {
    const both = pDefer<string>()
    const racing = race([async () => both.promise, async () => {
      setTimeout(() => { both.resolve('at once') })
      return both.promise
    }], options())

    expect(await racing).to.equal('at once')
    await Promise.resolve()
    expect(discarded).to.deep.equal(['at once'])
  })

  it('starts the next attempt at once when one fails', async () => {
    const never = 2 ** 31 - 1

    expect(await race([async () => { throw new Error('no') }, async () => 'second'], options({ delay: never }))).to.equal('second')
  })

  it('waits for the second attempt when the first fails after it was started', async () => {
    const [started, failed] = [pDefer<void>(), pDefer<void>()]
    const failing = async (): Promise<string> => {
      await started.promise
      setImmediate(failed.resolve)
      throw new Error('no')
    }
    const slow = async (): Promise<string> => {
      started.resolve()
      await failed.promise

      return 'second'
    }

    expect(await race([failing, slow], options({ delay: 10 }))).to.equal('second')
  })

  it('discards the result of an attempt that finishes in the moment of the abort', async () => {
    const own = new AbortController()
    const first = pDefer<string>()
    // this is told of the result just before the race is
    void first.promise.then(() => { own.abort() })
    const sameMoment: Attempt<string> = Object.assign(() => first.promise)
    const racing = race([sameMoment, never], options({ signal: own.signal }))
    first.resolve('at that moment')

    await expect(racing).to.eventually.be.rejected().with.property('name', 'AbortError')
    await new Promise(resolve => setImmediate(resolve))
    expect(discarded).to.deep.equal(['at that moment'])
  })

  it('ends with the signal', async () => {
    const own = new AbortController()
    const racing = race([never, never], options({ signal: own.signal }))
    own.abort(new Error('enough'))

    const err = await racing.then(() => undefined, err => err)
    expect(err).to.have.property('name', 'AbortError')
    expect(err.cause).to.have.property('message', 'enough')
    expect(getEventListeners(own.signal, 'abort')).to.be.empty()
  })
})
