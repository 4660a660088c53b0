import fs from 'node:fs'
import path from 'node:path'
import { expect } from 'aegir/chai'
import { parse } from 'yaml'

const ROOT = path.join(import.meta.dirname, '..')

interface Workflow {
  jobs: Record<string, { steps: Array<{ run?: string }> }>
}

describe('the workflow', () => {
  it('runs scripts that exist', () => {
    const { jobs }: Workflow = parse(fs.readFileSync(path.join(ROOT, '.github/workflows/ci.yml'), 'utf-8'))
    const { scripts } = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf-8'))
    const commands = Object.values(jobs).flatMap(({ steps }) => steps).flatMap(({ run = [] }) => run)
    const named = commands.flatMap(command => [...command.matchAll(/npm (?:run )?(\S+)/g)].map(([, name]) => name))
    const ofNpm = ['ci', 'install']

    expect(named).to.include.members(['test', 'test:bsd'])
    expect(Object.keys(scripts)).to.include.members(named.filter(name => !ofNpm.includes(name)))
  })
})
