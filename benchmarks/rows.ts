import { measureAccepts, measureConnections, measureDials, measureLive, measureMemory, measureRoundTrips, measureSends, measureStream } from './measure.ts'
import type { Figures, Measure } from './measure.ts'
import type { Implementation } from '../test/interop/implementations.ts'

export interface Metric {
  name: string
  title: string
  unit: '' | '/s' | 'B/s' | 'B' | 's'
  better: 'higher' | 'lower'

  /**
   * The target for our figure divided by that of `@libp2p/tcp`, if there is one
   */
  bar?: number

  /**
   * The figure is a ratio already. Our figure alone is compared with the target
   */
  alone?: true
}

/**
 * Some metrics that are measured together
 */
export interface Row {
  name: string
  metrics: Metric[]
  contestants: Implementation[]
  measure: Measure<Figures>
}

/**
 * The two contestants that are compared with each other
 */
export const JS: Implementation[] = ['js', '@libp2p/tcp']
const ALL: Implementation[] = [...JS, 'go', 'rust']

/**
 * All rows, with their targets
 */
export const ROWS: Row[] = [
  row('send-64', 'send, 64 bytes', '/s', 3, measureSends(64, 'messages')),
  row('send-1k', 'send, 1 KiB', '/s', 2, measureSends(1_024, 'messages')),
  row('send-64k', 'send, 64 KiB', 'B/s', 1, measureSends(65_536, 'bytes')),
  row('send-16m', 'send, 16 MiB', 'B/s', 1, measureSends(16_777_216, 'bytes')),
  row('stream-64k', 'yamux stream, 64 KiB', 'B/s', 1, measureStream(65_536, 'bytes')),
  row('stream-100', 'yamux stream, 100 bytes', '/s', 1.5, measureStream(100, 'messages')),
  row('round-trips-1', 'round trips, one at a time', '/s', 1, measureRoundTrips(1)),
  row('round-trips-100', 'round trips, 100 streams', '/s', 1.1, measureRoundTrips(100)),
  {
    name: 'dials',
    metrics: [
      { name: 'dial-rate', title: 'dials', unit: '/s', better: 'higher', bar: 0.95 },
      { name: 'dial-cpu', title: 'CPU of a dial', unit: 's', better: 'lower' }
    ],
    contestants: ALL,
    measure: measureDials
  },
  {
    name: 'live',
    metrics: [{ name: 'live', title: 'CPU of a dial, 16,000 live : none', unit: '', better: 'lower', bar: 1.25, alone: true }],
    contestants: JS,
    measure: measureLive
  },
  {
    name: 'connections',
    metrics: [
      { name: 'connect-rate', title: 'connections with noise and yamux', unit: '/s', better: 'higher', bar: 1 },
      { name: 'connect-cpu', title: 'CPU of one', unit: 's', better: 'lower' },
      { name: 'connect-rss', title: 'memory of one', unit: 'B', better: 'lower' }
    ],
    contestants: ALL,
    measure: measureConnections
  },
  row('accepts', 'accepted connections', '/s', 1, measureAccepts),
  {
    name: 'memory',
    metrics: [
      { name: 'heap', title: 'heap of an idle connection', unit: 'B', better: 'lower', bar: 1 },
      { name: 'rss', title: 'RSS of an idle connection', unit: 'B', better: 'lower', bar: 1 }
    ],
    contestants: JS,
    measure: measureMemory
  }
]

export const METRICS: Metric[] = ROWS.flatMap(({ metrics }) => metrics)

function row (name: string, title: string, unit: Metric['unit'], bar: number, measure: Measure<number>): Row {
  return {
    name,
    metrics: [{ name, title, unit, better: 'higher', bar }],
    contestants: JS,
    measure: async contestant => ({ [name]: await measure(contestant) })
  }
}
