import { readFileSync, writeFileSync } from 'node:fs'
import { drawChart } from './chart.ts'
import { formatHighlights, formatRun, formatTables } from './report.ts'
import type { Results } from './results.ts'

const ROOT = new URL('../', import.meta.url)
const RESULTS = 'benchmarks/results.json'
const BEGIN = '<!-- measured: begin -->'
const END = '<!-- measured: end -->'

/**
 * Writes the results, the chart, and the text between two markers in README.md and
 * docs/performance.md
 *
 * @returns the files that were written
 */
export function write (results: Results): string[] {
  const files = { [RESULTS]: `${JSON.stringify(results, null, 2)}\n`, ...documentsOf(results) }

  for (const [file, text] of Object.entries(files)) {
    writeFileSync(new URL(file, ROOT), text)
  }

  return Object.keys(files)
}

/** @returns the files that do not match results.json */
export function check (): string[] {
  return Object.entries(documentsOf(read())).filter(([file, text]) => textOf(file) !== text).map(([file]) => file)
}

/** The results of the last run of all rows */
export function read (): Results {
  return JSON.parse(textOf(RESULTS))
}

function documentsOf (results: Results): Record<string, string> {
  return {
    'benchmarks/results.svg': drawChart(results),
    'docs/performance.md': between('docs/performance.md', `${formatRun(results)}\n\n${formatTables(results)}`),
    'README.md': between('README.md', formatHighlights(results))
  }
}

function between (file: string, text: string): string {
  const old = textOf(file)
  const [begin, end] = [old.indexOf(BEGIN), old.indexOf(END)]

  if (begin === -1 || end < begin) {
    throw new Error(`${file} has nothing between ${BEGIN} and ${END}`)
  }

  return `${old.slice(0, begin)}${BEGIN}\n${text}\n${old.slice(end)}`
}

function textOf (file: string): string {
  return readFileSync(new URL(file, ROOT), 'utf-8')
}
