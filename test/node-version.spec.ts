import fs from 'node:fs'
import { expect } from 'aegir/chai'
import { execa } from 'execa'
import { checkNodeVersion } from '../src/node-version.ts'

describe('node-version', () => {
  for (const version of ['0.12.18', '18.20.8', '20.20.2', '22.11.0']) {
    it(`${version} is too old`, () => {
      expect(() => { checkNodeVersion(version) }).to.throw(`libp2p-reuseport-tcp needs Node 22.12 or newer, this is ${version}`)
    })
  }

  for (const version of ['22.12.0', '22.21.1', '23.0.0', '24.21.0', '26.0.0-nightly']) {
    it(`${version} will do`, () => { checkNodeVersion(version) })
  }

  it('what is no Node will do', () => {
    const { process } = globalThis

    try {
      // as in browsers
      Reflect.deleteProperty(globalThis, 'process')
      checkNodeVersion()
    } finally {
      globalThis.process = process
    }
  })

  it('npm is told the same', () => {
    for (const manifest of ['../package.json', '../reuseport-check/package.json']) {
      const { engines } = JSON.parse(fs.readFileSync(new URL(manifest, import.meta.url), 'utf-8'))

      expect(engines).to.deep.equal({ node: '>=22.12' })
    }
  })

  // as `npm start` is, if the install script of the package `node` did not run
  it('a Node that can not run TypeScript is told what to do', async () => {
    const { exitCode, stderr } = await execa(process.execPath, ['--no-experimental-strip-types', '--import', './test/kit/check-node.js', 'missing.ts'], { env: { NODE_OPTIONS: '' }, reject: false })

    expect(exitCode).to.equal(1)
    expect(stderr).to.include(`this is Node ${process.versions.node}`).and.to.include('npm rebuild node --ignore-scripts=false')
    expect(stderr).to.not.include('missing.ts')
  })
})
