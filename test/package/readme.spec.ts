import fs from 'node:fs'
import path from 'node:path'
import { expect } from 'aegir/chai'
import { LIBRARY, ROOT, codeIn, emptyDirectory, installed, manifestIn, run } from './installed.ts'

describe('the README', () => {
  const [program] = codeIn('README.md', 'js')

  /** Runs the program, and returns the ports in the lines that it printed */
  async function portsIn (project: string): Promise<Record<string, number>> {
    fs.writeFileSync(path.join(project, 'main.mjs'), program)
    const output = await run(project, 'node', 'main.mjs')

    return Object.fromEntries([...output.matchAll(/^(.*) \/ip4\/127\.0\.0\.1\/tcp\/(\d+)/gm)].map(([, what, port]) => [what, Number(port)]))
  }

  it('has a program that dials from the port that it listens on', async () => {
    const ports = await portsIn(await installed())

    expect(ports).to.have.all.keys('listening on', 'the peer saw', 'dialed from')
    expect(new Set(Object.values(ports))).to.have.property('size', 1)
  })

  it('is right about how the package is installed from a checkout', async () => {
    const parent = emptyDirectory()
    const commands = codeIn('README.md', 'console').find(code => code.includes('npm pack')) ?? ''
    // what `test:package` has done already
    const script = commands.replaceAll('$ ', '').replace('npm install && npm run build && ', '')
    await run(ROOT, 'sh', '-ec', script.replaceAll('../', `${parent}/`).replace(/\.\.$/m, parent))

    expect(new Set(Object.values(await portsIn(path.join(parent, 'my-app'))))).to.have.property('size', 1)
  })

  it('has badges that are true, and less than 200 lines', () => {
    const { license, engines, peerDependencies, types } = manifestIn(LIBRARY)
    const badges = fs.readFileSync(path.join(ROOT, 'docs/badges.svg'), 'utf-8').replaceAll('&gt;', '>')
    const texts = [...badges.matchAll(/<text.*?>(.*)<\/text>/g)].map(([, text]) => text)

    expect(texts).to.deep.equal(['libp2p', peerDependencies.libp2p, 'Node', engines.node, 'license', license, 'types', 'included'])
    expect(types).to.be.a('string')
    expect(fs.readFileSync(path.join(ROOT, 'README.md'), 'utf-8').trimEnd().split('\n')).to.have.property('length').that.is.below(200)
  })
})
