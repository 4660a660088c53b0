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

const CONNECTIONS = 2_000

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
  const crowd = await Promise.all(Array.from({ length: CONNECTIONS }, async () => {
    const socket = net.connect(portOf(address), '127.0.0.1')
    socket.on('error', () => {})
    await once(socket.resume(), 'connect')

    return socket
  }))
  let sent = 0
  const sendByte = (): void => {
    crowd.forEach(socket => { socket.write(HEADER[sent]) })
    sent++
  }
  sendByte()
  const timer = setInterval(sendByte, PAUSE)

  try {
    assert.equal(await node.ask('countInbound', CONNECTIONS), CONNECTIONS, 'slow connections that are let in')
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
