import { markdownTable } from 'markdown-table'
import { median } from '../test/kit/statistics.ts'
import { judge, rangeOfMedian } from './results.ts'
import { METRICS } from './rows.ts'
import type { Judged, Results } from './results.ts'
import type { Metric } from './rows.ts'
import type { Implementation } from '../test/interop/implementations.ts'

const PREFIXES: Array<[number, string]> = [[1e9, 'G'], [1e6, 'M'], [1e3, 'k'], [1, ''], [1e-3, 'm'], [1e-6, 'µ']]

/**
 * The three figures in the README
 */
const HIGHLIGHTS: Record<string, (ratio: string) => string> = {
  'send-64': ratio => `messages of 64 bytes are sent at ${ratio} times the rate`,
  'dial-rate': ratio => `dials are made at ${ratio} times the rate`,
  heap: ratio => `an idle connection takes ${ratio} times the heap`
}

const COLUMNS: Record<Implementation, string> = { js: 'ours', '@libp2p/tcp': '@libp2p/tcp', go: 'go-libp2p', rust: 'rust-libp2p' }

/**
 * The tables as Markdown, which is also readable on a terminal
 */
export function formatTables (results: Results): string {
  const { judged, noisy } = judgeAll(results)

  return [
    comparedTable(judged),
    ...noisy.length === 0 ? [] : [`Too noisy to be judged, even after ${Math.max(...noisy.map(({ pairs }) => pairs))} pairs: ${noisy.map(({ title }) => title).join('; ')}.`],
    ...sideBySideTable(results)
  ].join('\n\n')
}

/**
 * When, where and in comparison with what the figures were measured
 */
export function formatRun ({ date, machine, node, samples, versions }: Results): string {
  const measured = new Set<string>(Object.values(samples).flatMap(Object.keys))
  const others = Object.entries(versions).filter(([name]) => measured.has(name)).map(([name, version]) => `${COLUMNS[name as Implementation]} ${version}`)

  return `Measured on ${date}, on Node ${node}, ${machine}, next to ${new Intl.ListFormat('en').format(others)}.`
}

export function formatHighlights (results: Results): string {
  const { judged } = judgeAll(results)
  const highlights = judged.filter(({ name }) => name in HIGHLIGHTS).map(metric => HIGHLIGHTS[metric.name](formatRatio(metric, metric.ratio)))

  return `Next to \`@libp2p/tcp\` ${results.versions['@libp2p/tcp']}, on the same machine, ${new Intl.ListFormat('en').format(highlights)}.`
}

export function judgeAll ({ samples }: Results): { judged: Judged[], noisy: Judged[] } {
  const all = METRICS.map(metric => judge(metric, samples)).filter(judged => judged != null)

  return {
    judged: all.filter(({ verdict }) => verdict !== 'too noisy'),
    noisy: all.filter(({ verdict }) => verdict === 'too noisy')
  }
}

/**
 * A ratio with two decimals, rounded to our disadvantage
 */
export function formatRatio ({ better }: Metric, ratio: number): string {
  // an error of binary fractions must not round the ratio to the next hundredth
  const hundredths = Number((ratio * 100).toFixed(6))

  return ((better === 'higher' ? Math.floor(hundredths) : Math.ceil(hundredths)) / 100).toFixed(2)
}

export function formatBar ({ better, bar }: Judged): string {
  return `${better === 'higher' ? '≥' : '≤'} ${bar.toFixed(2)}`
}

function comparedTable (judged: Judged[]): string {
  return table(['', 'ours', '@libp2p/tcp', 'ratio', 'range', 'pairs', 'aim', ''], judged.map(metric => [
    metric.title,
    formatFigure(metric, metric.ours),
    formatFigure(metric, metric.theirs),
    formatRatio(metric, metric.ratio),
    metric.range.map(ratio => formatRatio(metric, ratio)).join(' – '),
    `${metric.pairs}`,
    formatBar(metric),
    metric.verdict
  ]))
}

/**
 * The table of the metrics that were measured with all implementations
 */
function sideBySideTable ({ samples }: Results): string[] {
  const metrics = METRICS.filter(({ name }) => samples[name]?.go != null || samples[name]?.rust != null)
  const columns = Object.keys(COLUMNS) as Implementation[]

  return metrics.length === 0
    ? []
    : [table(['', ...Object.values(COLUMNS), 'spread'], metrics.map(metric => {
        const all = columns.map(contestant => samples[metric.name][contestant] ?? [])
        const spreads = all.filter(values => values.length > 0).map(values => {
          const [low, high] = rangeOfMedian(values)

          return (high - low) / median(values)
        })

        return [metric.title, ...all.map(values => formatFigure(metric, median(values))), `${Math.ceil(100 * Math.max(...spreads))} %`]
      }))]
}

function table (columns: string[], rows: string[][]): string {
  return markdownTable([columns, ...rows], { align: columns.map((title, i) => i === 0 || title === '' ? 'l' : 'r') })
}

/**
 * A figure with three digits, and with a prefix if it has a unit
 */
function formatFigure ({ unit }: Metric, figure: number): string {
  if (Number.isNaN(figure)) {
    return ''
  }

  const [factor, prefix] = PREFIXES.find(([factor]) => unit !== '' && figure >= factor) ?? [1, '']
  const scaled = figure / factor

  // toPrecision() would write 1,000 as 1.00e+3
  return `${scaled >= 100 ? Math.round(scaled) : scaled.toPrecision(3)} ${prefix}${unit}`.trim()
}
