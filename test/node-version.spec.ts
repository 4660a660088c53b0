import fs from 'node:fs'
import { expect } from 'aegir/chai'
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
})
