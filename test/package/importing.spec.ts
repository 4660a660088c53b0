import path from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'aegir/chai'
import { build as esbuild } from 'esbuild'
import { build as vite } from 'vite'
import webpack from 'webpack'
import { ENTRY_POINTS, LIBRARY, installed, manifestIn, run } from './installed.ts'

const { name } = manifestIn(LIBRARY)

/** What only hole punching needs, or only whole nodes */
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

  /**
   * @returns the modules that something is left of, as paths in the project
   */
  async function modulesInBundle (entry: string): Promise<string[]> {
    const { metafile } = await esbuild({ absWorkingDir: await installed(), entryPoints: [entry], bundle: true, format: 'esm', platform: 'node', write: false, metafile: true, logLevel: 'error' })
    const [{ inputs }] = Object.values(metafile.outputs)

    return Object.keys(inputs).filter(name => inputs[name].bytesInOutput > 0)
  }

  it('has nothing of it in a bundle that does not use it', async () => {
    expect((await modulesInBundle('unused.js')).filter(name => name.startsWith('node_modules/'))).to.be.empty()
    // would it have been seen?
    expect(await modulesInBundle('used.js')).to.include(`node_modules/${name}/dist/src/transport.js`)
  })

  // each makes the bundle out.js of browser.js
  const bundlers: Record<string, (project: string, outdir: string) => Promise<unknown>> = {
    esbuild: async (project, outdir) => esbuild({ absWorkingDir: project, entryPoints: { out: 'browser.js' }, bundle: true, format: 'esm', outdir }),
    vite: async (project, outdir) => vite({ root: project, configFile: false, logLevel: 'error', build: { outDir: outdir, rollupOptions: { input: 'browser.js', output: { entryFileNames: 'out.js' } } } }),
    webpack: async (project, outdir) => promisify((done: (err: Error | null) => void) => {
      webpack({ mode: 'production', context: project, entry: './browser.js', output: { path: outdir, filename: 'out.js' } }, done)
    })()
  }

  for (const [bundler, bundle] of Object.entries(bundlers)) {
    it(`gets @libp2p/dcutr, and is told that there is no TCP, by a bundle of ${bundler} for browsers`, async () => {
      const project = await installed()
      const outdir = path.join(project, bundler)
      await bundle(project, outdir)

      await expect(inProject('node', path.join(outdir, 'out.js'))).to.eventually.be.rejected()
        .with.property('stderr').that.include('TCP connections are not possible in browsers, true')
    })
  }
})
