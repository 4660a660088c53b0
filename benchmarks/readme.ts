/**
 * Writes the README's section on performance from results.json, and from side-by-side.json
 * if there is one, so that it says what was measured.
 *
 * - `npm run bench:readme`: writes it
 * - `npm run bench:readme -- --check`: fails if the README says something else
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { performanceSection, sideBySideSection } from './section.ts'
import type { Results } from './results.ts'
import type { SideBySideResults } from './side-by-side-results.ts'

const README = new URL('../README.md', import.meta.url)
const RESULTS = new URL('./results.json', import.meta.url)
const SIDE_BY_SIDE = new URL('./side-by-side.json', import.meta.url)

const BEGIN = '<!-- performance: begin -->'
const END = '<!-- performance: end -->'

const { values } = parseArgs({ options: { check: { type: 'boolean' } } })
const readme = readFileSync(README, 'utf-8')
const results: Results = JSON.parse(readFileSync(RESULTS, 'utf-8'))
const sections = [performanceSection(results)]

if (existsSync(SIDE_BY_SIDE)) {
  const sideBySide: SideBySideResults = JSON.parse(readFileSync(SIDE_BY_SIDE, 'utf-8'))
  sections.push(sideBySideSection(sideBySide))
}

const updated = replaceSection(readme, sections.join('\n\n'))

if (values.check !== true) {
  writeFileSync(README, updated)
} else if (updated !== readme) {
  process.stderr.write('README.md does not say what is in benchmarks/results.json and side-by-side.json: npm run bench:readme\n')
  process.exitCode = 1
}

function replaceSection (text: string, section: string): string {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)]

  if (begin === -1 || end < begin) {
    throw new Error(`README.md has no section between ${BEGIN} and ${END}`)
  }

  return `${text.slice(0, begin)}${BEGIN}\n${section}\n${text.slice(end)}`
}
