/**
 * Writes the README's section on performance from results.json, so that it says
 * what was measured.
 *
 * - `npm run bench:readme`: writes it
 * - `npm run bench:readme -- --check`: fails if the README says something else
 */

import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { performanceSection } from './section.ts'
import type { Results } from './results.ts'

const README = new URL('../README.md', import.meta.url)
const RESULTS = new URL('./results.json', import.meta.url)

const BEGIN = '<!-- performance: begin -->'
const END = '<!-- performance: end -->'

const { values } = parseArgs({ options: { check: { type: 'boolean' } } })
const readme = readFileSync(README, 'utf-8')
const results: Results = JSON.parse(readFileSync(RESULTS, 'utf-8'))
const updated = replaceSection(readme, performanceSection(results))

if (values.check !== true) {
  writeFileSync(README, updated)
} else if (updated !== readme) {
  process.stderr.write('README.md does not say what is in benchmarks/results.json: npm run bench:readme\n')
  process.exitCode = 1
}

function replaceSection (text: string, section: string): string {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)]

  if (begin === -1 || end < begin) {
    throw new Error(`README.md has no section between ${BEGIN} and ${END}`)
  }

  return `${text.slice(0, begin)}${BEGIN}\n${section}\n${text.slice(end)}`
}
