import { formatBar, formatFigure, formatPercent, formatRatio, formatSpread } from './format.ts'
import type { MetricResult, Results } from './results.ts'

const COLUMNS = ['', 'ours', '`@libp2p/tcp`', 'ratio', 'bar', 'spread', 'of a raw socket', '']

/**
 * The README's section on performance, as Markdown
 */
export function performanceSection ({ date, machine, metrics, node, pairs, peer }: Results): string {
  return [
    `Measured on ${date} with \`npm run bench\`, against ${peer}, on Node ${node.slice(1)}: ${machine}.`,
    `Each ratio is the median of ${pairs} that were measured in turn, each time in new processes; the spread is`,
    'the distance between their quartiles, relative to the median.',
    '',
    markdownRow(COLUMNS),
    markdownRow(COLUMNS.map((_, i) => i === 0 || i === COLUMNS.length - 1 ? '---' : '--:')),
    ...metrics.map(metric => markdownRow(cells(metric))),
    '',
    '![Ratio of each row with its bar, and the cost of a dial against the number of live connections](benchmarks/results.svg)'
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

function markdownRow (cells: string[]): string {
  return `| ${cells.join(' | ')} |`
}
