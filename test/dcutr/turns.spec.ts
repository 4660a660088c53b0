import { getEventListeners } from 'node:events'
import { expect } from 'aegir/chai'
import pDefer from 'p-defer'
import { FailedPeers, Turns } from '../../src/dcutr/turns.ts'
import type { Limits } from '../../src/dcutr/turns.ts'
import type { DeferredPromise } from 'p-defer'

describe('turns', () => {
  const { signal } = new AbortController()
  const NO_LIMITS: Limits = { all: Infinity, ofRelay: Infinity, ofPeer: Infinity }
  let turns: Turns
  let failed: FailedPeers
  let running: string[]
  let jobs: Map<string, DeferredPromise<void>>

  function limit (limits: Partial<Limits>): void {
    running = []
    jobs = new Map()
    failed = new FailedPeers()
    turns = new Turns({ ...NO_LIMITS, ...limits }, failed)
  }

  /** Asks for a place by a name like `peer@relay`, or `peer@relay 2` */
  async function ask (name: string, over: AbortSignal = signal): Promise<void> {
    const [peer, relay] = name.split(' ')[0].split('@')
    const job = pDefer<void>()
    jobs.set(name, job)

    return turns.run({ peer, relay }, over, async () => {
      running.push(name)

      return job.promise.finally(() => { running.splice(running.indexOf(name), 1) })
    })
  }

  function askAll (...names: string[]): void {
    names.forEach(name => { void ask(name) })
  }

  async function end (name: string): Promise<void> {
    jobs.get(name)?.resolve()
    await new Promise(resolve => setImmediate(resolve))
  }

  it('gives places at once while there are some, and then in order', async () => {
    limit({ all: 2 })
    askAll('a@r', 'b@r', 'c@s', 'd@s')
    expect(running).to.deep.equal(['a@r', 'b@r'])
    await end('a@r')
    expect(running).to.deep.equal(['b@r', 'c@s'])
    await end('c@s')
    expect(running).to.deep.equal(['b@r', 'd@s'])
  })

  it('a relay has its share only, and those over others are not behind it', async () => {
    limit({ all: 4, ofRelay: 2 })
    askAll('a@r', 'b@r', 'c@r', 'd@r', 'e@s')
    expect(running).to.deep.equal(['a@r', 'b@r', 'e@s'])
    await end('e@s')
    expect(running).to.deep.equal(['a@r', 'b@r'])
    await end('b@r')
    expect(running).to.deep.equal(['a@r', 'c@r'])
  })

  it('a peer has its share only, over whatever relay', async () => {
    limit({ ofPeer: 1 })
    askAll('a@r', 'a@s', 'b@r')
    expect(running).to.deep.equal(['a@r', 'b@r'])
    await end('a@r')
    expect(running).to.deep.equal(['b@r', 'a@s'])
  })

  it('one place that becomes free can be what two wait for', async () => {
    limit({ ofRelay: 1, ofPeer: 1 })
    askAll('a@r', 'b@r', 'a@s')
    expect(running).to.deep.equal(['a@r'])
    await end('a@r')
    expect(running).to.deep.equal(['b@r', 'a@s'])
  })

  it('who has failed waits behind who has not', async () => {
    limit({ all: 1 })
    failed.add('bad')
    askAll('a@r', 'bad@r', 'b@r', 'c@r')
    await end('a@r')
    expect(running).to.deep.equal(['b@r'])
    await end('b@r')
    expect(running).to.deep.equal(['c@r'])
    await end('c@r')
    expect(running).to.deep.equal(['bad@r'])
  })

  it('who has places waits behind who has none', async () => {
    limit({ all: 3 })
    askAll('a@r', 'a@r 2', 'a@r 3', 'a@r 4', 'a@r 5', 'b@r', 'b@r 2')
    await end('a@r')
    expect(running).to.deep.equal(['a@r 2', 'a@r 3', 'b@r'])
    await end('a@r 2')
    expect(running).to.deep.equal(['a@r 3', 'b@r', 'a@r 4'])
  })

  it('has room for so many that wait, in all and of a peer', async () => {
    limit({ all: 1, waiting: 2, waitingOfPeer: 1 })
    askAll('a@r', 'a@r 2')
    await expect(ask('a@r 3')).to.eventually.be.rejected().with.property('name', 'QueueFullError')
    askAll('b@r')
    await expect(ask('c@r')).to.eventually.be.rejected().with.property('name', 'QueueFullError')
    await end('a@r')
    expect(running).to.deep.equal(['a@r 2'])
  })

  it('the signal ends the wait, leaves nothing behind, and does not end what runs', async () => {
    limit({ all: 1 })
    const controller = new AbortController()
    const first = ask('a@r', controller.signal)
    const second = ask('b@r', controller.signal)
    askAll('c@r')
    controller.abort()

    await expect(second).to.eventually.be.rejected().with.property('name', 'AbortError')
    await expect(ask('d@r', controller.signal)).to.eventually.be.rejected().with.property('name', 'AbortError')
    expect(running).to.deep.equal(['a@r'])
    expect(getEventListeners(controller.signal, 'abort')).to.be.empty()

    await end('a@r')
    await first
    expect(running).to.deep.equal(['c@r'])
  })

  it('a place that is given in the moment of the abort is not lost', async () => {
    limit({ all: 1 })
    const controller = new AbortController()
    const first = ask('a@r').then(() => { controller.abort() })
    const second = ask('b@r', controller.signal)
    askAll('c@r')
    jobs.get('a@r')?.resolve()
    await first
    await end('b@r')
    await second
    expect(running).to.deep.equal(['c@r'])
  })

  it('a job that fails gives its place back', async () => {
    limit({ all: 1 })
    const failing = expect(ask('a@r')).to.eventually.be.rejected().with.property('message', 'no')
    askAll('b@r')
    jobs.get('a@r')?.reject(new Error('no'))
    await failing
    await end('a@r')
    expect(running).to.deep.equal(['b@r'])
  })

  describe('failed peers', () => {
    it('are remembered for ten minutes, or until they succeed', () => {
      const peers = new FailedPeers()
      peers.add('a', 0)
      peers.add('b', 0)
      peers.add('a', 60_000)
      peers.add('c', 60_000)
      peers.delete('c')

      expect(['a', 'b', 'c'].filter(peer => peers.has(peer, 600_000 - 1))).to.deep.equal(['a', 'b'])
      expect(['a', 'b', 'c'].filter(peer => peers.has(peer, 600_000))).to.deep.equal(['a'])
      expect(['a', 'b', 'c'].filter(peer => peers.has(peer, 660_000))).to.be.empty()
    })

    it('are a thousand at most', () => {
      const peers = new FailedPeers()
      const names = Array.from({ length: 1_500 }, (_, i) => `${i}`)
      names.forEach(name => { peers.add(name) })

      expect(names.filter(name => peers.has(name))).to.deep.equal(names.slice(500))
    })
  })
})
