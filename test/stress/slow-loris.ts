import { setTimeout as delay } from 'node:timers/promises'
import { portOf } from '../kit/addresses.ts'
import { until } from '../kit/wait.ts'
import type { HostileNode } from './hostile-node.ts'
import type { SlowLorisCrowd } from './slow-loris-crowd.ts'
import type { SlowLorisNode } from './slow-loris-node.ts'
import type { Stage } from './stage.ts'
import type { Script } from '../kit/processes.ts'

type TransportName = Parameters<SlowLorisNode['listen']>[0]

const CONNECTIONS = 2_000
const DESCRIPTORS_NEEDED = CONNECTIONS + 200

/**
 * `maxIncomingPendingConnections` of libp2p
 */
const PLACES = 10

/**
 * In ms: how long the honest peer tries, the time between two tries, and how long one may take
 */
const PATIENCE = 5_000
const RETRY = 500
const GREET_LIMIT = 5_000

/**
 * The first members are thrown out within this time, in ms
 */
const TURNOVER_LIMIT = 20_000

/**
 * How much more memory the crowd may cost here: so many times as much, and so many bytes
 */
const MEMORY_FACTOR = 1.5
const MEMORY_TOLERANCE = 5e6

interface Siege {
  /**
   * How many connections of the crowd are let in at the same time, and how many bytes they
   * take
   */
  letIn: number
  used: number
  rss: number

  /**
   * How long it took the honest peer to get in, in ms: while the crowd was there, while its
   * members were thrown out and came back, when it had left. Infinity if it gave up
   */
  greeted: number[]
}

/**
 * 2,000 connections that send a byte every few seconds and never finish their upgrade, next
 * to `@libp2p/tcp`: what they cost, and whether an honest peer gets in.
 *
 * With its limits, libp2p upgrades ten inbound connections at a time, whoever makes them. The
 * crowd takes each place that becomes free, and an honest peer gets one only by luck, with both
 * transports. So what is compared is how many places there are.
 */
export async function slowLoris (stage: Stage): Promise<void> {
  const honest = stage.start<HostileNode>('hostile-node.ts')

  for (const hasLimits of [false, true]) {
    const besieged = async (transport: TransportName): Promise<Siege> => besiege(stage, honest, transport, hasLimits)
    const [ours, theirs] = await Promise.all([besieged('here'), besieged('@libp2p/tcp')])

    stage.expect(ours.used <= MEMORY_FACTOR * theirs.used + MEMORY_TOLERANCE, `${nameOf(hasLimits)}: the crowd takes ${inMB(ours.used)}, with @libp2p/tcp ${inMB(theirs.used)}`)
  }
}

async function besiege (stage: Stage, honest: Script<HostileNode>, transport: TransportName, hasLimits: boolean): Promise<Siege> {
  const node = stage.start<SlowLorisNode>('slow-loris-node.ts', ['--expose-gc'])
  const crowd = stage.start<SlowLorisCrowd>('slow-loris-crowd.ts')
  const openFilesLimit = await node.ask('openFilesLimit')

  if (openFilesLimit < DESCRIPTORS_NEEDED) {
    throw new Error(`${openFilesLimit} files can be open, ${DESCRIPTORS_NEEDED} are needed: ulimit -n ${DESCRIPTORS_NEEDED}`)
  }

  const address = await node.ask('listen', transport, hasLimits)
  // the first connection compiles code, which is not the crowd's
  await honest.ask('greet', address, GREET_LIMIT)
  const before = await node.ask('memory')

  await crowd.ask('besiege', { host: '127.0.0.1', port: portOf(address) }, CONNECTIONS)
  const letIn = await countLetIn(crowd, hasLimits ? PLACES : CONNECTIONS)
  const during = await node.ask('memory')
  const greeted = [await greet(honest, address)]
  const { thrownOut } = await crowd.ask('seen')
  await until(async () => (await crowd.ask('seen')).thrownOut > thrownOut, TURNOVER_LIMIT)
  greeted.push(await greet(honest, address))
  await crowd.ask('leave')
  greeted.push(await greet(honest, address))

  const left = await node.ask('leftOver')
  const siege = { letIn, greeted, used: during.used - before.used, rss: during.rss - before.rss }
  const what = `${nameOf(hasLimits)}, ${transport}`

  stage.print(`${what}: ${letIn.toLocaleString('en')} slow connections are let in, ${inMB(siege.used)} (RSS ${inMB(siege.rss)}); the honest peer gets in ${greeted.map(ms => Number.isFinite(ms) ? `after ${ms.toFixed()} ms` : 'not at all').join(', ')}`)
  stage.expectEqual(`slow connections that are let in, ${what}`, letIn, hasLimits ? PLACES : CONNECTIONS)
  stage.expectNothing(`left over, ${what}`, left)

  for (const [n, ms] of greeted.entries()) {
    stage.expect(Number.isFinite(ms) || (hasLimits && n < greeted.length - 1), `${what}: the honest peer does not get in`)
  }

  return siege
}

/**
 * Waits until there are so many, or for a while
 */
async function countLetIn (crowd: Script<SlowLorisCrowd>, expected: number): Promise<number> {
  let letIn = 0

  await until(async () => {
    letIn = (await crowd.ask('seen')).letIn

    return letIn === expected
  }).catch(() => { /* the count is compared */ })

  return letIn
}

/**
 * Tries again and again
 */
async function greet (honest: Script<HostileNode>, address: string): Promise<number> {
  const start = performance.now()

  while (performance.now() - start < PATIENCE) {
    try {
      await honest.ask('greet', address, GREET_LIMIT)

      return performance.now() - start
    } catch {
      // it was not let in
      await delay(RETRY)
    }
  }

  return Infinity
}

function nameOf (hasLimits: boolean): string {
  return hasLimits ? 'with the limits of libp2p' : 'without limits'
}

function inMB (bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}
