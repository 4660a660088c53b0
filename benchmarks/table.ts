import { formatTable } from '../examples/ports/table.ts'
import { formatBar, formatFigure, formatPercent, formatRatio, formatSpread } from './format.ts'
import type { MetricResult } from './results.ts'

/**
 * The results as lines of text
 */
export function resultsTable (metrics: MetricResult[]): string[] {
  return formatTable([
    { columns: ['row', 'what is measured'] },
    { columns: ['ours', '@libp2p/tcp', 'raw socket'] },
    { columns: ['ratio', 'bar', 'spread', 'of raw', 'verdict'] }
  ], metrics.map(metric => [
    metric.name,
    metric.title,
    formatFigure(metric.medians.ours, metric.unit),
    formatFigure(metric.medians.peer, metric.unit),
    formatFigure(metric.medians.raw, metric.unit),
    formatRatio(metric.ratio, metric.better),
    formatBar(metric),
    formatSpread(metric),
    formatPercent(metric.ofRaw),
    metric.verdict
  ]))
}
