import fs from 'node:fs'
import path from 'node:path'
import { expect } from 'aegir/chai'
import { COMMAND, LIBRARY, ROOT, emptyDirectory, installed, manifestIn, run, tarball } from './installed.ts'

/**
 * `skipLibCheck` is on in most projects. Here it is off, so that our declarations are
 * checked as well, and those of all that they refer to
 */
const FLAGS = ['--noEmit', '--strict', '--skipLibCheck', 'false', '--module', 'nodenext', '--target', 'es2024', '--types', 'node', '--pretty', 'false']

/**
 * `exports` can say what to use in browsers for an entry point, not for a module behind
 * it, so `browser` does, as in js-libp2p's own transports
 */
const DECLINED = 'pkg.browser with an object value can be refactored'

describe('the types and the manifest', () => {
  /**
   * Compiles an ES module and a CommonJS module
   *
   * @throws {Error} with what the compiler says
   */
  async function compile (...flags: string[]): Promise<void> {
    const project = await installed()

    // not in project/: `node16`, which is what this repository is compiled as, can't require
    fs.writeFileSync(path.join(project, 'commonjs.cts'), 'import { reuseportTcp } from \'libp2p-reuseport-tcp\'\n\nreuseportTcp()\n')
    await run(project, 'node_modules/.bin/tsc', ...FLAGS, ...flags, 'program.ts', 'commonjs.cts')
  }

  it('compile in strict mode', async () => compile())

  // as in most projects for Node. The declarations of js-libp2p need the DOM's types, so
  // without these they do not compile, unless they are skipped. Ours must
  it('compile without the types of the DOM, but for those of others', async () => {
    const output: string = await compile('--lib', 'es2024').then(() => '', err => err.stdout)
    const errors = output.split('\n').filter(line => /\berror TS\d+: /.test(line))
    const others = errors.filter(error => /^node_modules\//.test(error) && !error.startsWith(`node_modules/${manifestIn(LIBRARY).name}/`))

    expect(errors).to.deep.equal(others)
    // would ours have been seen?
    expect(others).to.not.be.empty()
  })

  for (const directory of [LIBRARY, COMMAND]) {
    it(`publint has no suggestion for ${manifestIn(directory).name}`, async () => {
      const output = await run(directory, 'publint', 'run', '--strict', await tarball(directory))

      expect(output.split('\n').filter(line => /^\d+\. /.test(line) && !line.includes(DECLINED))).to.be.empty()
    })
  }

  // The profile leaves out two findings that are none here. TypeScript's node10 resolution
  // knows no `exports`, so it does not find the second entry point; js-libp2p does not
  // support it either. And `require` of an ES module is an error to attw, but works in
  // every Node that `engines` allows; other tests do it, in Node and in TypeScript
  it('attw finds nothing wrong', async () => {
    await run(LIBRARY, 'attw', '--profile', 'esm-only', '--no-definitely-typed', '--no-emoji', '--no-color', await tarball(LIBRARY))
  })

  // not `aegir docs`: that writes into the README, and needs the address of a site
  it('npm run docs has no warnings', async () => {
    // links to the sources need a git remote
    await run(ROOT, 'npm', 'run', 'docs', '--', '--out', emptyDirectory(), '--disableSources')
  })
})
