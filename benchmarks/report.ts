import { markdownTable } from 'markdown-table'
import { median } from '../test/kit/statistics.ts'
import { STAGES } from './punch.ts'
import { judge } from './results.ts'
import { ROWS } from './rows.ts'
import type { PunchTimes } from './punch.ts'
import type { Compared, Judged, Results } from './results.ts'
import type { Metric, Row } from './rows.ts'

const PREFIXES: Array<[number, string]> = [[1e9, 'G'], [1e6, 'M'], [1e3, 'k'], [1, ''], [1e-3, 'm'], [1e-6, 'µ'], [1e-9, 'n']]

/** What the README says of these metrics, all of connections with noise and yamux */
const HIGHLIGHTS: Record<string, string> = {
  connections: 'times as many connections per second',
  'stream-100': 'times as many messages of 100 bytes on a stream',
  'stream-64k': 'times as many bytes in messages of 64 KiB',
  'connections-rss': 'times the memory for a connection'
}

/** The tables as Markdown, which is also readable on a terminal */
export function formatTables (results: Results): string {
  return [
    ...comparedTable('With noise and yamux, as a node uses connections:', judgeAll(results, ({ isUpgraded }) => isUpgraded)),
    ...comparedTable('Without an upgrade, so without encryption:', judgeAll(results, ({ isUpgraded }) => !isUpgraded)),
    ...results.punch == null ? [] : punchTable(results.punch)
  ].join('\n\n')
}

/** When, where and in comparison with what the figures were measured */
export function formatRun ({ date, machine, node, version, warmUp }: Results): string {
  return `Measured on ${date}, on Node ${node}, ${machine}, next to @libp2p/tcp ${version}. Warm-up of each measurement: ${warmUp.dials.toLocaleString('en')} dials, ${warmUp.connections.toLocaleString('en')} connections with an upgrade, or ${warmUp.ms / 1_000} s of the rest.`
}

export function formatHighlights (results: Results): string {
  const judged = judgeAll(results)
  const highlights = judged.filter(({ name }) => name in HIGHLIGHTS).map(({ figure, name, verdict }) => `${figure.ratio.toFixed(1)} ${HIGHLIGHTS[name]} (${verdict})`)
  const dial = judged.find(({ name }) => name === 'dials')

  return [
    `Next to \`@libp2p/tcp\` ${results.version}, on the same machine, with noise and yamux: ${new Intl.ListFormat('en').format(highlights)}.`,
    ...dial?.cpu == null ? [] : [`A dial binds its socket to the listening port first. Without an upgrade, there are ${percent(dial.figure.ratio, 'fewer')} dials per second (${dial.verdict}), and each takes ${percent(dial.cpu.ratio, 'less')} CPU time (${dial.cpu.verdict}).`]
  ].join('\n')
}

export function judgeAll ({ samples }: Results, filter: (row: Row) => boolean = () => true): Judged[] {
  return ROWS.filter(filter).flatMap(({ metrics }) => metrics).map(metric => judge(metric, samples)).filter(judged => judged != null)
}

function comparedTable (heading: string, judged: Judged[]): string[] {
  return judged.length === 0
    ? []
    : [heading, table(['', 'ours', '@libp2p/tcp', 'ratio', 'lost', 'CPU, ours', 'CPU, @libp2p/tcp', 'CPU ratio', 'CPU lost', ''], judged.map(({ cpu, figure, title, unit, verdict }) => [
        title,
        ...formatCompared(unit, figure),
        ...cpu == null ? ['', '', '', ''] : formatCompared('s', cpu),
        verdict
      ]))]
}

function formatCompared (unit: Metric['unit'], { lost, ours, pairs, range, ratio, theirs }: Compared): string[] {
  const [median, low, high] = [ratio, ...range].map(value => value.toFixed(2))

  return [formatFigure(unit, ours), formatFigure(unit, theirs), `${median} (${low} – ${high})`, `${lost} of ${pairs}`]
}

function punchTable (times: PunchTimes): string[] {
  const stages = STAGES.map(({ name, roundTrips, path, ms, whose }) => ({ name, times: times[name], roundTrips: `${roundTrips} ${path}`, ms, whose }))
  const all = {
    name: 'all',
    times: { first: sumOf(stages.map(({ times }) => times.first)), later: sumOf(stages.map(({ times }) => times.later)) },
    roundTrips: '',
    ms: STAGES.reduce((sum, { ms }) => sum + ms, 0),
    whose: ''
  }

  return ['A hole punch, stage by stage:', table(
    ['', 'first punch', 'later punch', 'round trips', 'they take', 'whose'],
    [...stages, all].map(({ name, times: { first, later }, roundTrips, ms, whose }) => [name, formatTimes(first), formatTimes(later), roundTrips, `${ms} ms`, whose])
  )]
}

/** The sum of each round */
function sumOf (stages: number[][]): number[] {
  return stages[0].map((_, round) => stages.reduce((sum, times) => sum + times[round], 0))
}

function formatTimes (times: number[]): string {
  const [middle, low, high] = [median(times), Math.min(...times), Math.max(...times)].map(ms => Math.round(ms))

  return `${middle} ms (${low} – ${high})`
}

/** Columns of figures are aligned to the right */
function table (columns: string[], rows: string[][]): string {
  return markdownTable([columns, ...rows], { align: columns.map((_, i) => rows.every(row => /^(\d|$)/.test(row[i])) ? 'r' : 'l') })
}

/** A figure with three digits, and with a prefix */
function formatFigure (unit: Metric['unit'], figure: number): string {
  const [factor, prefix] = PREFIXES.find(([factor]) => figure >= factor) ?? [1, '']
  const scaled = figure / factor

  // toPrecision() would write 1,000 as 1.00e+3
  return `${scaled >= 100 ? Math.round(scaled) : scaled.toPrecision(3)} ${prefix}${unit}`
}

function percent (ratio: number, less: string): string {
  return `${Math.round(Math.abs(ratio - 1) * 100)} % ${ratio < 1 ? less : 'more'}`
}
