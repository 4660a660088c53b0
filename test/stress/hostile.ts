import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { ping } from '@libp2p/ping'
import { multiaddr } from '@multiformats/multiaddr'
import pMap from 'p-map'
import { portOf } from '../kit/addresses.ts'
import { startNode } from '../kit/node.ts'
import { startScript } from '../kit/processes.ts'
import { within } from '../kit/wait.ts'
import { MISBEHAVIOURS } from './misbehaviours.ts'
import { count } from './resources.ts'
import type { Misbehaviour } from './misbehaviours.ts'
import type { AttackedNode } from './node.ts'
import type { AddressInfo, Socket } from 'node:net'

const TIMES = 5

/** How long an inbound connection may take to become one of libp2p, in ms */
const UPGRADE_LIMIT = 2_000

/** How long a dial of a hostile peer may take, in ms */
const DIAL_LIMIT = 2_000

/** How late an answer may come, on a busy machine, in ms */
const TOLERANCE = 1_000

/** A node that dials, and is dialed by, peers that misbehave in every way */
export async function hostile (): Promise<string[]> {
  const node = startScript<AttackedNode>(new URL('node.ts', import.meta.url), [`${UPGRADE_LIMIT}`])
  const good = await startNode({ services: { ping: ping() } })
  const address = await node.ask('listen')
  const port = portOf(address)
  const seen: number[] = []

  const dials = await eachSeveralTimes(async (name, misbehave) => {
    const server = net.createServer({ allowHalfOpen: true }, socket => {
      seen.push(Number(socket.remotePort))
      begin(socket, misbehave)
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const dial = await node.ask('dial', `/ip4/127.0.0.1/tcp/${(server.address() as AddressInfo).port}`, DIAL_LIMIT)
    server.close()

    assert.ok(dial.error !== 'none' && !dial.error.startsWith('not an Error'), `a dial of a server that ${name}: ${dial.error}`)
    assert.ok(dial.took <= DIAL_LIMIT + TOLERANCE, `a dial of a server that ${name} took ${dial.took.toFixed()} ms`)

    return dial
  })
  const reused = seen.filter(from => from === port).length
  assert.ok(reused >= Object.keys(MISBEHAVIOURS).length, `only ${reused} dials came from the listening port`)
  assert.ok(seen.length <= 2 * dials.length, 'some dials were repeated more than once')
  await node.ask('greet', `${good.getMultiaddrs()[0]}`)
  assert.deepEqual(await node.ask('leftOver'), {})

  const took = await eachSeveralTimes(async (name, misbehave) => {
    const start = performance.now()
    const socket = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true })
    begin(socket, misbehave)
    await within(UPGRADE_LIMIT + TOLERANCE, new Promise(resolve => { socket.once('close', resolve) }), `the end of a client that ${name}`).finally(() => { socket.destroy() })

    return performance.now() - start
  })
  const { remotePeer } = await good.dial(multiaddr(address))
  await good.services.ping.ping(remotePeer)
  await good.stop()
  assert.deepEqual(await node.ask('leftOver'), {})
  assert.equal(await node.stop(), 'code 0')

  return [
    `${dials.length} dials of ${Object.keys(MISBEHAVIOURS).length} kinds of server: ${JSON.stringify(count(dials.map(({ error }) => error)))}; the slowest took ${Math.max(...dials.map(dial => dial.took)).toFixed()} ms`,
    `the servers saw ${reused} connections from the listening port, ${seen.length - reused} from ephemeral ports`,
    `${took.length} dials by as many kinds of client ended; the slowest took ${Math.max(...took).toFixed()} ms. Good peers are fine, nothing left over`
  ]
}

/** All kinds at the same time, each one time after the other */
async function eachSeveralTimes <T> (run: (name: string, misbehave: Misbehaviour) => Promise<T>): Promise<T[]> {
  return (await Promise.all(Object.entries(MISBEHAVIOURS).map(async ([name, misbehave]) => {
    return pMap(Array.from({ length: TIMES }), async () => run(name, misbehave), { concurrency: 1 })
  }))).flat()
}

function begin (socket: Socket, misbehave: Misbehaviour): void {
  // being reset is what is to be expected
  socket.on('error', () => {})
  socket.once('end', () => {
    // some go on for a while after the other end has closed
    setTimeout(() => { socket.destroy() }, 500)
  })
  socket.resume()
  misbehave(socket)
}
