import { figuresOf, measureAccepts, measureConnections, measureDials, measureLive, measureMemory, measureRoundTrips, measureSends, measureStream } from './measure.ts'
import type { Figures, Measure, Speed } from './measure.ts'

export interface Metric {
  name: string
  title: string
  unit: '/s' | 'B/s' | 'B' | 's'
  better: 'higher' | 'lower'
}

/** Some metrics that are measured together */
export interface Row {
  name: string

  /** Are the connections upgraded, with noise and yamux, as those of a node? */
  isUpgraded: boolean
  metrics: Metric[]
  measure: Measure<Figures>
}

/** All rows. What a node does comes first */
export const ROWS: Row[] = [
  {
    name: 'connections',
    isUpgraded: true,
    metrics: [
      { name: 'connections', title: 'connections', unit: '/s', better: 'higher' },
      { name: 'connections-rss', title: 'memory of a connection', unit: 'B', better: 'lower' },
      { name: 'connections-heap', title: 'heap of a connection', unit: 'B', better: 'lower' }
    ],
    measure: measureConnections
  },
  upgraded('stream-100', 'stream, messages of 100 bytes', '/s', measureStream(100, 'messages')),
  upgraded('stream-64k', 'stream, messages of 64 KiB', 'B/s', measureStream(65_536, 'bytes')),
  upgraded('round-trips-1', 'round trips, one at a time', '/s', measureRoundTrips(1)),
  upgraded('round-trips-100', 'round trips, 100 streams', '/s', measureRoundTrips(100)),
  {
    name: 'dials',
    isUpgraded: false,
    metrics: [{ name: 'dials', title: 'dials without an upgrade', unit: '/s', better: 'higher' }],
    measure: async contestant => figuresOf('dials', await measureDials(contestant))
  },
  {
    name: 'live',
    isUpgraded: false,
    metrics: [{ name: 'live-16000', title: 'CPU of a dial next to 16,000 others', unit: 's', better: 'lower' }],
    measure: measureLive
  },
  raw('accepts', 'accepted without an upgrade', '/s', measureAccepts),
  {
    name: 'memory',
    isUpgraded: false,
    metrics: [
      { name: 'rss', title: 'memory without an upgrade', unit: 'B', better: 'lower' },
      { name: 'heap', title: 'heap without an upgrade', unit: 'B', better: 'lower' }
    ],
    measure: measureMemory
  },
  raw('send-64', 'bursts of 64 bytes, unencrypted', '/s', measureSends(64, 'messages')),
  raw('send-1k', 'bursts of 1 KiB, unencrypted', '/s', measureSends(1_024, 'messages')),
  raw('send-64k', 'bursts of 64 KiB, unencrypted', 'B/s', measureSends(65_536, 'bytes')),
  raw('send-16m', 'bursts of 16 MiB, unencrypted', 'B/s', measureSends(16_777_216, 'bytes'))
]

/** The name under which the CPU time of each operation is stored */
export function cpuOf ({ name }: Pick<Metric, 'name'>): string {
  return `${name}-cpu`
}

function upgraded (...args: Parameters<typeof raw>): Row {
  return { ...raw(...args), isUpgraded: true }
}

function raw (name: string, title: string, unit: Metric['unit'], measure: Measure<Speed>): Row {
  return {
    name,
    isUpgraded: false,
    metrics: [{ name, title, unit, better: 'higher' }],
    measure: async contestant => figuresOf(name, await measure(contestant))
  }
}
