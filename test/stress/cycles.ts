import assert from 'node:assert/strict'
import { startScript } from '../kit/processes.ts'
import { until } from '../kit/wait.ts'
import { startPeer } from './peer.ts'
import type { Dialer } from './dialer.ts'

const WARM_UP = 2_000
const CYCLES = 10_000

/** How much the memory in use may grow between the warm-up and the end, in MB */
const GROWTH_LIMIT = 10

/** How long the process may take for all cycles, in ms */
const LIMIT = 4 * 60_000

/** 10,000 times dial, echo, close, all from one listening port. A third of them is aborted */
export async function cycles (): Promise<string[]> {
  const dialer = startScript<Dialer>(new URL('dialer.ts', import.meta.url), [], { execArgv: ['--expose-gc'], limit: LIMIT })
  const port = await dialer.ask('listen')
  const peers = await Promise.all([startPeer('echoes'), startPeer('closes'), startPeer('resets')])
  const [echoes, closes, resets] = peers.map(peer => peer.port)

  await dialer.ask('cycles', { echoes, closes, resets }, 0, WARM_UP)
  const left = [await dialer.ask('leftOver')]
  const warm = await dialer.ask('usedMemory')
  const results = await dialer.ask('cycles', { echoes, closes, resets }, WARM_UP, CYCLES)
  left.push(await dialer.ask('leftOver'))
  const growth = await dialer.ask('usedMemory') - warm
  const abortListeners = await dialer.ask('abortListeners')
  const ended = await dialer.stop()
  const sources = peers.flatMap(peer => peer.sources)

  assert.deepEqual({ left, abortListeners, ended }, { left: [{}, {}], abortListeners: 0, ended: 'code 0' })
  // only a 4-tuple that is in use is a reason not to use the listening port
  assert.deepEqual(Object.keys(results.sources).filter(source => !['loopback', 'unusable'].includes(source)), [])
  assert.ok(growth <= GROWTH_LIMIT, `the memory in use grew by ${growth.toFixed(1)} MB`)
  await Promise.all(peers.map(async peer => until(async () => await peer.open() === 0)))
  peers.forEach(peer => { peer.close() })

  return [
    `of ${CYCLES - WARM_UP} cycles: ${JSON.stringify(results.ends)}, dialed from: ${JSON.stringify(results.sources)}`,
    `peers saw ${sources.length} connections, ${sources.filter(source => source === port).length} from the listening port`,
    `nothing left over; memory in use grew by ${growth.toFixed(1)} MB from ${warm.toFixed(1)} MB (${GROWTH_LIMIT} MB allowed)`
  ]
}
