import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { ping } from '@libp2p/ping'
import { multiaddr } from '@multiformats/multiaddr'
import { portOf } from '../kit/addresses.ts'
import { startNode } from '../kit/node.ts'
import { startScript } from '../kit/processes.ts'
import { openFilesLimit } from './resources.ts'
import type { AttackedNode } from './node.ts'
import type { Socket } from 'node:net'

const CONNECTIONS = 2_000

/**
 * How many of them connect at a time. They fit into the listener's queue. If they did not, the
 * kernel would let in some of them seconds later
 */
const AT_ONCE = 250

/** How often each connection sends a byte, and how long it may take to be upgraded, in ms */
const PAUSE = 2_000
const UPGRADE_LIMIT = 60_000

/** What multistream-select begins with. A connection that sends it slowly is never upgraded */
const HEADER = '\x13/multistream/1.0.0\n'

/** How much more memory the crowd may take than with `@libp2p/tcp`: so many times, and so many MB */
const FACTOR = 1.5
const TOLERANCE = 5

/**
 * 2,000 connections that send a byte every few seconds, next to `@libp2p/tcp`: what they cost, and
 * whether an honest peer gets in. The node has no limits. With its own limits, libp2p upgrades ten
 * inbound connections at a time, so the honest peer gets in by luck, with any transport
 */
export async function slowLoris (): Promise<string[]> {
  assert.ok(openFilesLimit() > CONNECTIONS + 200, `too few files can be open: ulimit -n ${2 * CONNECTIONS}`)

  const [ours, theirs] = [await besiege('reuseportTcp'), await besiege('@libp2p/tcp')]
  assert.ok(ours.used <= FACTOR * theirs.used + TOLERANCE, `the crowd takes ${ours.used} MB, with @libp2p/tcp ${theirs.used} MB`)

  return [ours, theirs].map(({ transport, used, took }) => {
    return `${CONNECTIONS} slow connections take ${used.toFixed(1)} MB with ${transport}, an honest peer gets in after ${took.toFixed()} ms`
  })
}

async function besiege (transport: string): Promise<{ transport: string, used: number, took: number }> {
  const node = startScript<AttackedNode>(new URL('node.ts', import.meta.url), [`${UPGRADE_LIMIT}`, transport], { execArgv: [...process.execArgv, '--expose-gc'] })
  const good = await startNode({ services: { ping: ping() } })
  const address = await node.ask('listen')

  const greet = async (): Promise<void> => {
    const { remotePeer } = await good.dial(multiaddr(address))
    await good.services.ping.ping(remotePeer)
    await good.hangUp(remotePeer)
  }

  // the first connection compiles code, which is not the crowd's
  await greet()
  const before = await node.ask('usedMemory')
  const crowd: Socket[] = []
  let sent = 1
  const timer = setInterval(() => {
    crowd.forEach(socket => { socket.write(HEADER[sent]) })
    sent++
  }, PAUSE)

  try {
    while (crowd.length < CONNECTIONS) {
      crowd.push(...await Promise.all(Array.from({ length: AT_ONCE }, async () => connect(portOf(address)))))
      assert.equal(await node.ask('countInbound', crowd.length), crowd.length, 'slow connections that are let in')
    }

    const used = await node.ask('usedMemory') - before
    const start = performance.now()
    await greet()
    const took = performance.now() - start
    assert.ok(crowd.every(socket => !socket.destroyed), 'some slow connections were closed meanwhile')

    return { transport, used, took }
  } finally {
    clearInterval(timer)
    crowd.forEach(socket => { socket.destroy() })
    await good.stop()
    assert.deepEqual(await node.ask('leftOver'), {})
    assert.equal(await node.stop(), 'code 0')
  }
}

/** Connects, and sends the first byte */
async function connect (port: number): Promise<Socket> {
  const socket = net.connect(port, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket.resume(), 'connect')
  socket.write(HEADER[0])

  return socket
}
