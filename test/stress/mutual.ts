import { portOf } from '../kit/addresses.ts'
import { count, format } from './counting.ts'
import type { MutualNode } from './mutual-node.ts'
import type { Stage } from './stage.ts'

const ROUNDS = 500

/**
 * How long both nodes have to get ready for a round, in ms
 */
const HEAD_START = 15

/**
 * Two nodes dial each other at the same moment, 500 times
 */
export async function mutual (stage: Stage): Promise<void> {
  const nodes = [stage.start<MutualNode>('mutual-node.ts'), stage.start<MutualNode>('mutual-node.ts')]
  const addresses = await Promise.all(nodes.map(async node => node.ask('address')))
  const peers = addresses.toReversed()
  const sources: string[] = []
  let rejects = 0
  let retries = 0
  let echoes = 0
  let withoutEcho = 0

  for (let round = 0; round < ROUNDS; round++) {
    stage.progress(`round ${round}`)

    const start = Date.now() + HEAD_START
    const dials = await Promise.all(nodes.map(async (node, i) => node.ask('dial', peers[i], start)))
    const talks = await Promise.all(nodes.map(async node => node.ask('talk', stage.seed + round)))
    await Promise.all(nodes.map(async (node, i) => node.ask('hangUp', peers[i])))
    const left = await Promise.all(nodes.map(async node => node.ask('leftOver')))

    sources.push(...dials.flatMap(dial => dial.sources))
    rejects += dials.filter(({ error }) => error != null).length
    retries += dials.reduce((sum, dial) => sum + Math.max(0, dial.sources.length - 1), 0)
    echoes += talks.reduce((sum, talk) => sum + talk.echoes, 0)
    withoutEcho += talks.filter(talk => talk.echoes === 0).length

    const errors = [...dials.map(({ error }) => error), ...talks.flatMap(talk => talk.errors)]
    errors.filter(error => error != null).forEach(error => { stage.expect(false, `round ${round}: ${error}`) })
    left.forEach(counts => { stage.expectNothing(`left over in round ${round}`, counts) })
  }

  const inboundPorts = await Promise.all(nodes.map(async node => node.ask('inboundPorts')))
  const fromListeningPort = inboundPorts.flatMap((ports, i) => ports.filter(port => port === portOf(peers[i]))).length

  const dialedFrom = count(sources)

  stage.print(`${ROUNDS} rounds of 2 dials: ${rejects} rejects, ${retries} retries; dialed from: ${format(dialedFrom)}`)
  stage.print(`${inboundPorts.flat().length} inbound connections, ${fromListeningPort} from the peer's listening port; ${echoes} echoes, ${withoutEcho} times none in a round`)

  stage.expectEqual('dials that rejected', rejects, 0)
  stage.expectEqual('ends without a working connection in a round', withoutEcho, 0)
  // the first to dial has the 4-tuple of both listening ports. A simultaneous open
  // takes it from both, and is dialed again
  stage.expect(dialedFrom.loopback >= ROUNDS, `only ${dialedFrom.loopback} dials from a listening port in ${ROUNDS} rounds`)
  stage.expectEqual('inbound connections from a listening port', fromListeningPort, dialedFrom.loopback - retries)
}
