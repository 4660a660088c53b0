import { formatBar, formatFigure, formatPercent, formatRatio, formatSpread } from './format.ts'
import { SIDE_BY_SIDE_COLUMNS, sideBySideCells } from './side-by-side-results.ts'
import type { MetricResult, Results } from './results.ts'
import type { SideBySideResults } from './side-by-side-results.ts'

const COLUMNS = ['', 'ours', '`@libp2p/tcp`', 'ratio', 'bar', 'spread', 'of a raw socket', '']

/**
 * The README's section on performance, as Markdown
 */
export function performanceSection ({ date, machine, metrics, node, pairs, peer }: Results): string {
  return [
    `Measured on ${date} with \`npm run bench\`, against ${peer}, on Node ${node.slice(1)}: ${machine}.`,
    `Each ratio is the median of ${pairs} that were measured in turn, each time in new processes; the spread is`,
    'the distance between their quartiles, relative to the median, and the bar the ratio that is aimed at.',
    '',
    ...markdownTable(COLUMNS, metrics.map(cells)),
    '',
    '![Ratio of each row with its bar, and the cost of a dial against the number of live connections](benchmarks/results.svg)'
  ].join('\n')
}

/**
 * What follows it if the other implementations were measured too
 */
export function sideBySideSection ({ date, figures, machine, node, pairs, versions }: SideBySideResults): string {
  return [
    `Next to Go and Rust, measured on ${date} with \`npm run bench:side-by-side\`, against go-libp2p ${versions.go} and`,
    `rust-libp2p ${versions.rust}, on Node ${node.slice(1)}: ${machine}. All dial from their listening port on loopback,`,
    `50 at a time; the connections are to a node of go-libp2p. Medians of ${pairs} that were measured in turn, each time in`,
    'new processes, and the largest of the three spreads. Go and Rust use all cores, Node mostly one. Each dial is',
    "closed at once, ours and Go's by RST; Rust closes by FIN, and a connection when the peer has opened a stream.",
    'The memory is what each of 1,000 open connections adds to the resident memory of the process that dialed them.',
    '',
    ...markdownTable(SIDE_BY_SIDE_COLUMNS, figures.map(sideBySideCells))
  ].join('\n')
}

function cells (metric: MetricResult): string[] {
  return [
    metric.title,
    formatFigure(metric.medians.ours, metric.unit),
    formatFigure(metric.medians.peer, metric.unit),
    formatRatio(metric.ratio, metric.better),
    formatBar(metric),
    formatSpread(metric),
    formatPercent(metric.ofRaw),
    metric.verdict
  ]
}

function markdownTable (columns: string[], rows: string[][]): string[] {
  return [
    markdownRow(columns),
    markdownRow(columns.map((title, i) => i === 0 || title === '' ? '---' : '--:')),
    ...rows.map(markdownRow)
  ]
}

function markdownRow (cells: string[]): string {
  return `| ${cells.join(' | ')} |`
}
