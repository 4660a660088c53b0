import type { MetricResult } from './results.ts'
import type { Metric } from './row.ts'

const PREFIXES: Array<[number, string]> = [[1e9, 'G'], [1e6, 'M'], [1e3, 'k'], [1, '']]

/**
 * With three digits, and a prefix if there is a unit
 */
export function formatFigure (figure: number | undefined, unit: string): string {
  if (figure == null) {
    return ''
  }

  const [factor, prefix] = PREFIXES.find(([factor]) => unit !== '' && figure >= factor) ?? [1, '']
  const scaled = figure / factor

  // toPrecision() would write 1,000 as 1.00e+3
  return `${scaled >= 100 ? Math.round(scaled) : scaled.toPrecision(3)} ${prefix}${unit}`.trim()
}

/**
 * With two decimals, rounded against us
 */
export function formatRatio (ratio: number, better: Metric['better']): string {
  // what binary fractions add must not make the next hundredth of it
  const hundredths = Number((ratio * 100).toFixed(6))

  return ((better === 'higher' ? Math.floor(hundredths) : Math.ceil(hundredths)) / 100).toFixed(2)
}

export function formatBar ({ better, bar }: Metric): string {
  return `${better === 'higher' ? '≥' : '≤'} ${bar.toFixed(2)}`
}

export function formatPercent (fraction: number | undefined): string {
  return fraction == null ? '' : `${Math.floor(fraction * 100)} %`
}

/**
 * Rounded up
 */
export function formatSpread ({ spread }: MetricResult): string {
  return `${Math.ceil(spread * 100)} %`
}
