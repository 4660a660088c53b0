import fs from 'node:fs'
import path from 'node:path'
import { expect } from 'aegir/chai'
import { execa } from 'execa'
import pMap from 'p-map'
import { runInNamespace } from './fixtures/namespace.ts'
import type { Measured } from './fixtures/amplification/index.ts'

/**
 * The tables of SECURITY.md: each row of the first one is played with whole nodes, and each
 * number of the second one has to stand where it says
 */
describe('amplification', () => {
  const ROOT = path.join(import.meta.dirname, '..')
  const DOCUMENT = fs.readFileSync(path.join(ROOT, 'SECURITY.md'), 'utf-8')

  /** What test/fixtures/amplification plays, each in namespaces of its own */
  const SCENES = ['connections', 'nodes', 'inbound pushes', 'inbound pushes against peers', 'outbound pushes', 'one peer over a relay', 'peers over a relay', 'connect', 'learning']

  /** Most of the time they wait for dials to fail */
  const SCENES_AT_A_TIME = 3

  /** The columns of the table, in order */
  const COLUMNS: Record<string, (measured: Measured) => number> = {
    dials: ({ dials }) => dials,
    'at a time': ({ dialsAtATime }) => dialsAtATime,
    'handed over': ({ handedOver }) => handedOver,
    'kB to others': ({ sentToOthers }) => sentToOthers / 1_000,
    'sent/received': ({ sent, received }) => sent / received,
    'ms of CPU': ({ cpu }) => cpu,
    'kB of memory': ({ memory }) => memory / 1_000
  }

  const HEAD = `| what others do | ${Object.keys(COLUMNS).join(' | ')} |\n|---|${'---:|'.repeat(Object.keys(COLUMNS).length)}\n`
  const measured: Record<string, Measured> = {}
  const failures: Error[] = []

  /** By what others do: at most so much, by column */
  const bounds = Object.fromEntries(tableAfter(HEAD).map(([what, ...cells]) => [
    what,
    Object.fromEntries(Object.keys(COLUMNS).map((column, i) => [column, Number(cells[i]?.replaceAll(',', ''))]))
  ]))

  function tableAfter (head: string): string[][] {
    const [rows] = DOCUMENT.split(head)[1]?.split('\n\n') ?? []

    if (rows == null) {
      throw new Error(`SECURITY.md has no table with this head:\n${head}`)
    }

    return rows.split('\n').map(row => row.split('|').slice(1, -1).map(cell => cell.trim()))
  }

  function round (figure: number): string {
    return figure.toLocaleString('en', { maximumSignificantDigits: 3 })
  }

  it('is bounded by numbers that stand where the document says', () => {
    const places = [...DOCUMENT.matchAll(/\[`([^`]+)`\]\((src\/[^)]+)\)/g)]

    expect(places).to.not.be.empty()
    expect(places.filter(([, code, file]) => !fs.readFileSync(path.join(ROOT, file), 'utf-8').includes(code)).map(([place]) => place)).to.be.empty()
  })

  describe('of what others do', () => {
    before(async function () {
      this.timeout(180_000)

      await execa('nft', ['--version']).catch(() => { this.skip() })
      await pMap(SCENES, async scene => {
        await runInNamespace(this, '', 'amplification/index.ts', scene).then(
          rows => { Object.assign(measured, rows) },
          err => { failures.push(err) }
        )
      }, { concurrency: SCENES_AT_A_TIME })
    })

    for (const [what, bound] of Object.entries(bounds)) {
      it(what, function () {
        if (measured[what] == null) {
          throw failures[0] ?? new Error('Nobody plays this')
        }

        const figures = Object.entries(COLUMNS).map(([column, of]) => [column, of(measured[what])] as const)

        if (this.test != null) {
          this.test.title += `: ${figures.map(([column, figure]) => `${column} ${round(figure)}`).join(', ')}`
        }

        expect(figures.filter(([column, figure]) => !(figure <= bound[column])).map(([column, figure]) => `${column}: ${round(figure)}, not ${bound[column]} at most`)).to.be.empty()
      })
    }

    it('is bounded, whatever is played', () => {
      expect(Object.keys(measured)).to.have.members(Object.keys(bounds))
    })
  })
})
