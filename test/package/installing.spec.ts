import fs from 'node:fs'
import path from 'node:path'
import { expect } from 'aegir/chai'
import { ROOT, codeIn, emptyDirectory, run } from './installed.ts'

describe('the README', () => {
  it('says how an app installs what is not on npm yet', async () => {
    const block = codeIn('README.md', 'console').find(code => code.includes('npm pack')) ?? ''
    const app = path.join(emptyDirectory(), 'your-app')
    fs.mkdirSync(app)
    fs.writeFileSync(path.join(app, 'package.json'), '{ "type": "module" }')
    const [pack, install] = block.split('\n').map(line => line.replace('$ ', '').replaceAll('../your-app', app))

    await run(ROOT, 'sh', '-c', pack)
    await run(ROOT, 'sh', '-c', install)

    expect(await run(app, 'node', '--print', 'import("libp2p-reuseport-tcp").then(({ reuseportTcp }) => console.log(typeof reuseportTcp)), ""')).to.include('function')
  })
})
