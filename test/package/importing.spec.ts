import fs from 'node:fs'
import path from 'node:path'
import { expect } from 'aegir/chai'
import { ENTRY_POINTS, LIBRARY, installed, manifestIn, run } from './installed.ts'

const { name } = manifestIn(LIBRARY)

/**
 * What only hole punching needs, or only whole nodes
 */
const UNNEEDED = [
  '@libp2p/dcutr',
  '@libp2p/identify',
  '@libp2p/noise',
  '@libp2p/ping',
  '@libp2p/yamux',
  'libp2p',
  `${name}/dist/src/dcutr/service.js`,
  `${name}/dist/src/dcutr/punch.js`
]

describe('who imports the package', () => {
  async function inProject (command: string, ...args: string[]): Promise<string> {
    return run(await installed(), command, ...args)
  }

  async function evaluate (type: 'commonjs' | 'module', program: string): Promise<string> {
    return inProject('node', `--input-type=${type}`, '--eval', program)
  }

  it('dials from the port that the node listens on', async () => {
    const { listening, seen } = JSON.parse(await inProject('node', 'dial.js'))

    expect(listening).to.be.greaterThan(0)
    expect(seen).to.equal(listening)
  })

  for (const entry of ENTRY_POINTS) {
    it(`can require ${entry} as well`, async () => {
      const names = (expression: string): string => `process.stdout.write(Object.keys(${expression}).join())`
      const imported = await evaluate('module', names(`await import('${entry}')`))

      expect(imported).to.not.equal('')
      expect(await evaluate('commonjs', names(`require('${entry}')`))).to.equal(imported)
    })

    // what package.json's `sideEffects: false` says. Sockets must not even be opened and
    // closed again, as the transport does when it is created to see what this Node can do
    it(`changes nothing by importing ${entry}`, async () => {
      expect(JSON.parse(await inProject('node', 'effects.js', entry))).to.be.empty()
    })
  }

  it('loads no DCUtR with the main entry', async () => {
    const loaded = async (entry: string): Promise<string[]> => {
      const urls: string[] = JSON.parse(await inProject('node', 'loaded.js', entry))

      return urls.filter(url => url.startsWith('file:')).map(url => url.slice(url.lastIndexOf('/node_modules/') + '/node_modules/'.length))
    }
    const modules = await loaded(name)

    expect(modules).to.include(`${name}/dist/src/transport.js`)
    expect(modules.filter(module => UNNEEDED.some(unneeded => module === unneeded || module.startsWith(`${unneeded}/`)))).to.be.empty()
    // would it have been seen?
    expect(await loaded(`${name}/dcutr`)).to.include('@libp2p/dcutr/dist/src/index.js')
  })

  it('is told that Node is too old', async () => {
    const pretend = 'Object.defineProperty(process, \'versions\', { value: { ...process.versions, node: \'20.20.2\' } })'

    await expect(evaluate('module', `${pretend}; await import('${name}')`)).to.eventually.be.rejected()
      .with.property('stderr').that.matches(/^Error: libp2p-reuseport-tcp needs Node 22\.12 or newer, this is 20\.20\.2$/m)
  })

  interface Bundle {
    file: string

    /**
     * Those that something is left of, as paths in the project
     */
    modules: string[]
  }

  async function bundle (entry: string, platform: 'node' | 'browser'): Promise<Bundle> {
    const file = path.join(await installed(), `${platform}-${entry}`)
    await inProject('esbuild', entry, '--bundle', '--format=esm', `--platform=${platform}`, `--outfile=${file}`, `--metafile=${file}.json`)
    const [{ inputs }] = Object.values<any>(JSON.parse(fs.readFileSync(`${file}.json`, 'utf-8')).outputs)

    return { file, modules: Object.keys(inputs).filter(name => inputs[name].bytesInOutput > 0) }
  }

  it('has nothing of it in a bundle that does not use it', async () => {
    const { modules } = await bundle('unused.js', 'node')

    expect(modules.filter(name => name.startsWith('node_modules/'))).to.be.empty()
    // would it have been seen?
    expect((await bundle('used.js', 'node')).modules).to.include(`node_modules/${name}/dist/src/transport.js`)
  })

  it('is told by a bundle for browsers that there is no TCP', async () => {
    const { file } = await bundle('used.js', 'browser')

    await expect(inProject('node', file)).to.eventually.be.rejected()
      .with.property('stderr').that.matches(/^Error: .*browser.*$/m)
  })
})
