import { portOf } from '../kit/addresses.ts'
import { add, count, format } from './counting.ts'
import { toMultiaddr } from './loopback.ts'
import { UPGRADE_LIMIT } from './node.ts'
import type { HostileNode } from './hostile-node.ts'
import type { HostilePeer } from './hostile-peer.ts'
import type { PeerAddress } from './loopback.ts'
import type { Stage } from './stage.ts'
import type { Script } from '../kit/processes.ts'

const TIMES = 5

/**
 * How long a dial of a hostile peer may take, in ms
 */
const DIAL_LIMIT = 2_000

/**
 * How late an answer may come, on a busy machine, in ms
 */
const TOLERANCE = 1_000

/**
 * How long it may take to greet a good peer, in ms
 */
const GREET_LIMIT = 5_000

interface Hostilities {
  stage: Stage
  node: Script<HostileNode>
  hostile: Script<HostilePeer>
  addresses: Record<string, PeerAddress>
}

/**
 * A node that dials, and is dialed by, peers that misbehave in every way
 */
export async function hostile (stage: Stage): Promise<void> {
  const node = stage.start<HostileNode>('hostile-node.ts')
  const good = stage.start<HostileNode>('hostile-node.ts')
  const peer = stage.start<HostilePeer>('hostile-peer.ts')
  const nodeAddress = await node.ask('address')
  const goodAddress = await good.ask('address')
  const hostilities = { stage, node, hostile: peer, addresses: await peer.ask('listen', portOf(nodeAddress)) }

  await dialThem(hostilities)
  await node.ask('greet', goodAddress, GREET_LIMIT)
  await expectNothingLeftOver(hostilities, 'after dialing them')

  await beDialedBy(hostilities, nodeAddress)
  await good.ask('greet', nodeAddress, GREET_LIMIT)
  await expectNothingLeftOver(hostilities, 'after being dialed by them')
}

async function dialThem ({ stage, node, hostile, addresses }: Hostilities): Promise<void> {
  const dials = await eachSeveralTimes(addresses, async (name, address) => {
    const { error, took } = await node.ask('dial', toMultiaddr(address), DIAL_LIMIT)

    stage.expect(error != null && !error.startsWith('not an Error'), `a dial of a server that ${name}: ${error ?? 'it succeeded'}`)
    stage.expect(took <= DIAL_LIMIT + TOLERANCE, `a dial of a server that ${name} took ${took.toFixed()} ms`)

    return { error: error ?? 'succeeded', took }
  })

  const { fromListeningPort, fromEphemeralPort } = await hostile.ask('seen')

  stage.print(`${dials.length} dials of ${Object.keys(addresses).length} kinds of server: ${format(count(dials.map(({ error }) => error)))}; ${slowest(dials.map(({ took }) => took))}`)
  stage.print(`the servers saw ${fromListeningPort} connections from the listening port, ${fromEphemeralPort} from ephemeral ports`)
  stage.expect(fromListeningPort >= Object.keys(addresses).length, `only ${fromListeningPort} dials came from the listening port`)
  stage.expect(fromListeningPort + fromEphemeralPort <= 2 * dials.length, 'some dials were repeated more than once')
}

async function beDialedBy ({ stage, hostile, addresses }: Hostilities, nodeAddress: string): Promise<void> {
  const took = await eachSeveralTimes(addresses, async name => {
    try {
      return await hostile.ask('attack', name, { host: '127.0.0.1', port: portOf(nodeAddress) }, UPGRADE_LIMIT + TOLERANCE)
    } catch (err: any) {
      stage.expect(false, err.message)

      return Infinity
    }
  })

  stage.print(`${took.length} dials by ${Object.keys(addresses).length} kinds of client: ${took.filter(Number.isFinite).length} ended; ${slowest(took)}`)
}

/**
 * All kinds at the same time, each one time after the other
 */
async function eachSeveralTimes <T> (addresses: Record<string, PeerAddress>, run: (name: string, address: PeerAddress) => Promise<T>): Promise<T[]> {
  const results: T[] = []

  await Promise.all(Object.entries(addresses).map(async ([name, address]) => {
    for (let i = 0; i < TIMES; i++) {
      results.push(await run(name, address))
    }
  }))

  return results
}

async function expectNothingLeftOver ({ stage, node, hostile }: Hostilities, when: string): Promise<void> {
  const left = add(await Promise.all([node.ask('leftOver'), hostile.ask('leftOver')]))

  stage.print(`the good peer is fine ${when}; left over: ${format(Object.fromEntries(Object.entries(left).filter(([, n]) => n > 0))) || 'nothing'}`)
  stage.expectNothing(`left over ${when}`, left)
}

function slowest (took: number[]): string {
  return `the slowest took ${Math.max(...took).toFixed()} ms`
}
