import fs from 'node:fs'
import path from 'node:path'
import { expect } from 'aegir/chai'
import { check, read } from '../benchmarks/documents.ts'
import { STAGES } from '../benchmarks/punch.ts'
import { judge } from '../benchmarks/results.ts'
import { ROWS } from '../benchmarks/rows.ts'
import { median } from './kit/statistics.ts'
import type { Samples, Verdict } from '../benchmarks/results.ts'
import type { Metric } from '../benchmarks/rows.ts'

/** docs/performance.md says nothing that benchmarks/results.json contradicts */
describe('performance', () => {
  const { punch, samples } = read()
  const page = textOf('docs/performance.md')
  const chart = textOf('benchmarks/results.svg')
  const metrics = ROWS.flatMap(({ metrics }) => metrics).filter(({ name }) => samples[name] != null)

  function textOf (file: string): string {
    return fs.readFileSync(path.join(import.meta.dirname, '..', file), 'utf-8')
  }

  /** How often our figure was the worse one, computed without the code that judges */
  function pairsOf (name: string, better: Metric['better']): { ratio: number, pairs: number, lost: number } {
    const { ours, '@libp2p/tcp': theirs } = samples[name]
    const ratios = theirs.map((figure, i) => ours[i] / figure)

    return { ratio: median(ratios), pairs: ratios.length, lost: ratios.filter(ratio => better === 'higher' ? ratio < 1 : ratio > 1).length }
  }

  it('is written from the results', () => {
    expect(check()).to.deep.equal([])
  })

  for (const { better, name, title } of metrics) {
    it(`${title}: is in the table and in the chart, with its pairs, and is worse if it lost most of them`, () => {
      const [row] = page.split('\n').filter(line => line.startsWith(`| ${title} `) && / of \d+ \|/.test(line))
      const [, , , , ratio, lost, , , cpuRatio, cpuLost, verdict] = row.split('|').map(cell => cell.trim())
      const figure = pairsOf(name, better)

      expect(chart).to.include(`>${title}<`)
      expect(lost).to.equal(`${figure.lost} of ${figure.pairs}`)
      expect(parseFloat(ratio)).to.be.closeTo(figure.ratio, 0.01)
      expect(verdict).to.be.oneOf(figure.lost > figure.pairs / 2 ? ['worse'] : ['better', 'equal', 'not known'])

      if (samples[`${name}-cpu`] != null) {
        const cpu = pairsOf(`${name}-cpu`, 'lower')

        expect(cpuLost).to.equal(`${cpu.lost} of ${cpu.pairs}`)
        expect(parseFloat(cpuRatio)).to.be.closeTo(cpu.ratio, 0.01)
        expect(verdict).to.be.oneOf(cpu.lost > cpu.pairs / 2 ? ['worse', 'not known'] : ['better', 'equal', 'worse', 'not known'])
      }
    })
  }

  for (const { name, ms } of STAGES) {
    it(`a hole punch, ${name}: is in the table, next to what the round trips take`, () => {
      const [row] = page.split('\n').filter(line => line.startsWith(`| ${name} `))
      const [, , first, later, , roundTrips] = row.split('|').map(cell => parseFloat(cell))

      expect(first).to.be.closeTo(median(punch?.[name].first ?? []), 0.5)
      expect(later).to.be.closeTo(median(punch?.[name].later ?? []), 0.5)
      expect(roundTrips).to.equal(ms)
    })
  }

  const WON = [1.02, 1.03, 1.04, 1.05, 1.06]
  const LOST = [0.94, 0.95, 0.96, 0.97, 1.2]
  const CLOSE = [0.96, 0.99, 1.01, 1.02, 1.03]
  const WIDE = [0.8, 0.9, 1.1, 1.2, 1.3]

  // the ratios of the pairs: rates, and CPU times
  const verdicts: Array<[Verdict, number[], number[]?]> = [
    ['better', WON],
    ['worse', LOST],
    ['equal', CLOSE],
    ['not known', WIDE],
    ['not known', WON.slice(1)],
    ['worse', LOST.slice(1, 4)],
    ['better', WIDE, WON],
    ['equal', WON, CLOSE],
    ['better', WON, WIDE],
    ['not known', WON, LOST],
    ['worse', LOST, WON],
    ['worse', LOST, LOST]
  ]

  for (const [verdict, rates, cpu] of verdicts) {
    it(`is ${verdict}: rates ${rates}${cpu == null ? '' : `, CPU ${cpu}`}`, () => {
      const samples: Samples = {
        row: { ours: rates, '@libp2p/tcp': rates.map(() => 1) },
        ...(cpu == null ? {} : { 'row-cpu': { ours: cpu.map(ratio => 1 / ratio), '@libp2p/tcp': cpu.map(() => 1) } })
      }

      expect(judge({ name: 'row', title: 'a row', unit: '/s', better: 'higher' }, samples)?.verdict).to.equal(verdict)
    })
  }
})
