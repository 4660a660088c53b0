import fs from 'node:fs'
import path from 'node:path'
import { expect } from 'aegir/chai'
import { runInNamespace } from '../fixtures/namespace.ts'
import { LIBRARY, codeIn, manifestIn, projectWith, tarball } from './installed.ts'

describe('docs/helia.md', () => {
  // Helia dials bootstrap nodes as well. In the namespace there is nobody but the two nodes
  it('two nodes exchange 20 MB, dialed from the listening port', async function () {
    const [command] = codeIn('docs/helia.md', 'console')
    const [program] = codeIn('docs/helia.md', 'js')
    const packed = await tarball(LIBRARY)
    const packages = command.trim().replace('$ npm i ', '').split(' ')
    const project = await projectWith(...packages.map(name => name === manifestIn(LIBRARY).name ? packed : name))
    const nodes = path.join(project, 'nodes.js')
    fs.writeFileSync(path.join(project, 'helia.js'), program)
    fs.copyFileSync(path.join(import.meta.dirname, 'helia-nodes.js'), nodes)

    const { equal, listening, seen } = await runInNamespace(this, '', nodes)

    expect(equal).to.equal(20_000_000)
    expect(listening).to.be.greaterThan(0)
    expect(seen).to.equal(listening)
  })
})
