import { measureAccepts } from './rows/accept.ts'
import { measureConnects } from './rows/connect.ts'
import { measureDials } from './rows/dial.ts'
import { measureLiveDials } from './rows/live.ts'
import { measureMemory } from './rows/memory.ts'
import { measureRoundTrips } from './rows/round-trips.ts'
import { measureSends } from './rows/send.ts'
import { measureStreaming } from './rows/streaming.ts'
import type { Contestant, Measure, Metric, Row } from './row.ts'

/**
 * What is measured, and the ratio that is aimed at
 */
export const ROWS: Row[] = [
  row({ name: 'send-64', title: 'send, 64 bytes', unit: '/s', bar: 3 }, withRaw, measureSends(64, 'messages')),
  row({ name: 'send-1k', title: 'send, 1 KiB', unit: '/s', bar: 2 }, withRaw, measureSends(1_024, 'messages')),
  row({ name: 'send-64k', title: 'send, 64 KiB', unit: 'B/s', bar: 1 }, withRaw, measureSends(65_536, 'bytes')),
  row({ name: 'send-16m', title: 'send, 16 MiB', unit: 'B/s', bar: 1 }, withRaw, measureSends(16_777_216, 'bytes')),
  row({ name: 'yamux-64k', title: 'yamux stream, 64 KiB', unit: 'B/s', bar: 1.05 }, transports, measureStreaming(65_536, 'bytes')),
  row({ name: 'yamux-100', title: 'yamux stream, 100 bytes', unit: '/s', bar: 1.5 }, transports, measureStreaming(100, 'messages')),
  row({ name: 'rpc-1', title: 'round trips, one at a time', unit: '/s', bar: 1 }, transports, measureRoundTrips(1)),
  row({ name: 'rpc-100', title: 'round trips, 100 streams', unit: '/s', bar: 1.1 }, transports, measureRoundTrips(100)),
  row({ name: 'dial', title: 'dials', unit: '/s', bar: 0.9 }, transports, measureDials),
  row({ name: 'connect', title: 'full connections', unit: '/s', bar: 1 }, transports, measureConnects),
  row({ name: 'accept', title: 'accepted connections', unit: '/s', bar: 1 }, transports, measureAccepts),
  {
    name: 'memory',
    metrics: [
      metric({ name: 'memory-heap', title: 'heap of an idle connection', unit: 'B', better: 'lower', bar: 1 }),
      metric({ name: 'memory-rss', title: 'RSS of an idle connection', unit: 'B', better: 'lower', bar: 1 })
    ],
    contestants: transports(measureMemory)
  },
  row({ name: 'dial-16k', title: 'CPU of a dial, 16,000 live : none', unit: '', better: 'lower', bar: 1.25, judged: 'ours' }, transports, measureLiveDials)
]

type MetricInit = Omit<Metric, 'better' | 'judged'> & Partial<Metric>

function row <C extends Contestant> (init: MetricInit, contestants: (measure: Measure<C>) => Row['contestants'], measure: (name: string) => Measure<C>): Row {
  return { name: init.name, metrics: [metric(init)], contestants: contestants(measure(init.name)) }
}

function transports (measure: Measure): Row['contestants'] {
  return { ours: async lab => measure('ours', lab), peer: async lab => measure('peer', lab) }
}

function withRaw (measure: Measure<Contestant>): Row['contestants'] {
  return { ...transports(measure), raw: async lab => measure('raw', lab) }
}

function metric (init: MetricInit): Metric {
  return { better: 'higher', judged: 'ours by peer', ...init }
}
