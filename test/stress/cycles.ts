import { add, format } from './counting.ts'
import { LOOPBACK_HOSTS } from './loopback.ts'
import type { CyclesDialer } from './cycles-dialer.ts'
import type { EchoPeer } from './echo-peer.ts'
import type { Stage } from './stage.ts'

const WARM_UP = 2_000
const CYCLES = 10_000
const PEER_PROCESSES = 2

/**
 * How much the memory in use may grow between the warm-up and the end, in MB
 */
const GROWTH_LIMIT = 10

/**
 * 10,000 times dial, echo, close, all from one listening port
 */
export async function cycles (stage: Stage): Promise<void> {
  const dialer = stage.start<CyclesDialer>('cycles-dialer.ts', ['--expose-gc'])
  const port = await dialer.ask('listen')
  const peers = Array.from({ length: PEER_PROCESSES }, () => stage.start<EchoPeer>('echo-peer.ts'))
  const addresses = (await Promise.all(peers.map(async peer => peer.ask('listen', LOOPBACK_HOSTS, 1, port)))).flat()

  const runs = [await dialer.ask('run', stage.seed, addresses, 0, WARM_UP)]
  const leftOver = [await dialer.ask('leftOver')]
  const warm = await dialer.ask('usedMemory') / 1e6

  runs.push(await dialer.ask('run', stage.seed, addresses, WARM_UP, CYCLES))
  leftOver.push(await dialer.ask('leftOver'), ...await Promise.all(peers.map(async peer => peer.ask('leftOver'))))
  const growth = await dialer.ask('usedMemory') / 1e6 - warm

  const results = add(runs.map(run => run.results))
  const sources = add(runs.map(run => run.sources))
  const seen = add(await Promise.all(peers.map(async peer => peer.ask('seen'))))
  const abortListeners = await dialer.ask('abortListeners')
  const left = add(leftOver)

  stage.print(`${CYCLES.toLocaleString('en')} cycles: ${format(results)}`)
  stage.print(`dialed from: ${format(sources)}`)
  stage.print(`peers saw ${seen.connections.toLocaleString('en')} connections: ${seen.fromListeningPort.toLocaleString('en')} from port ${port}, ${seen.fromEphemeralPort.toLocaleString('en')} from ephemeral ports`)
  stage.print(`left over: ${format(left) || 'nothing'}; ${abortListeners} abort listeners; memory in use grew by ${growth.toFixed(1)} MB from ${warm.toFixed(1)} MB (${GROWTH_LIMIT} MB allowed)`)

  runs.flatMap(run => run.off).forEach(complaint => { stage.expect(false, complaint) })
  Object.keys(sources).forEach(source => {
    // only a 4-tuple that is in use is a reason not to use the listening port
    stage.expect(['loopback', 'unusable'].includes(source), `dialed from: ${source}`)
  })
  stage.expectNothing('left over', left)
  stage.expectEqual('connections that did not come from the port that the dialer said', seen.fromUnexpectedPort, 0)
  stage.expectEqual('unexpected errors of the peers', seen.errors, 0)
  stage.expectEqual('resets by the peers', seen.resets, results['reset by the peer'])
  stage.expectEqual('open connections of the peers', seen.open, 0)
  stage.expectEqual('abort listeners', abortListeners, 0)
  stage.expect(growth <= GROWTH_LIMIT, `the memory in use grew by ${growth.toFixed(1)} MB`)
}
