import type { Lab } from './lab.ts'

/**
 * This transport, and `@libp2p/tcp`
 */
export type TransportName = 'ours' | 'peer'

/**
 * `raw` is a `net.Socket` that is used directly
 */
export type Contestant = TransportName | 'raw'

/**
 * What a measurement found: a figure by the name of each metric
 */
export interface Measurement {
  figures: Record<string, number>

  /**
   * Live connections, and what one more dial costs in µs of CPU
   */
  dialCost?: DialCost[]
}

export type DialCost = [live: number, cost: number]

export interface Metric {
  name: string
  title: string

  /**
   * Of the figures. None: they are ratios
   */
  unit: string
  better: 'higher' | 'lower'
  bar: number

  /**
   * What is held against the bar: ours divided by the peer's, or ours alone,
   * next to which the peer's is a control
   */
  judged: 'ours by peer' | 'ours'
}

/**
 * @throws {Error} if not all that was meant to happen did
 */
export interface Measure<C extends Contestant = TransportName> {
  (contestant: C, lab: Lab): Promise<Measurement>
}

/**
 * One or more metrics that are measured together
 */
export interface Row {
  name: string
  metrics: Metric[]

  /**
   * In the order of their turns
   */
  contestants: Partial<Record<Contestant, (lab: Lab) => Promise<Measurement>>>
}
