import { expectEqual } from '../expect.ts'
import type { Connector } from '../processes/connector.ts'
import type { Crowd } from '../processes/crowd.ts'
import type { Measure } from '../row.ts'

const PEERS = 10
const WARM_UP = 1_000
const DURATION = 2_500

/**
 * Dials a second to the end of noise, yamux and identify, 10 at a time, from
 * process to process. Each connection is closed before its peer is dialed again
 */
export function measureConnects (name: string): Measure {
  return async (contestant, lab) => {
    const [crowd, connector] = [lab.start<Crowd>('crowd.ts'), lab.start<Connector>('connector.ts')]
    const [addresses] = await Promise.all([crowd.ask('start', contestant, PEERS), connector.ask('start', contestant)])

    await connector.ask('run', addresses, WARM_UP)
    const rate = await connector.ask('run', addresses, DURATION)
    const [seen, claimed] = await Promise.all([crowd.ask('seen'), connector.ask('claimed')])

    expectEqual('connections that the peers saw', seen.length, claimed.connections)

    if (contestant === 'ours') {
      // the order in which the two processes learn of a connection may differ
      expectEqual('connections from elsewhere than claimed', difference(seen, claimed.ports), 0)
    }

    return { figures: { [name]: rate } }
  }
}

/**
 * How many of the numbers are not among the others, each of which counts once
 */
function difference (numbers: number[], others: number[]): number {
  const [sorted, sortedOthers] = [numbers.toSorted(), others.toSorted()]

  return sorted.filter((n, i) => n !== sortedOthers[i]).length
}
