import fs from 'node:fs'
import path from 'node:path'
import { expect } from 'aegir/chai'
import hostedGitInfo from 'hosted-git-info'
import { COMMAND, LIBRARY, ROOT, installed, manifestIn, run } from './installed.ts'

/** What each file of `src` is built into */
const BUILT = ['.js', '.js.map', '.d.ts', '.d.ts.map']

/** Below the home directory of whoever builds */
const HOME = /(?<![\w.])\/(?:home|root|Users)\//

const DOCUMENTS = ['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'package.json']

for (const [source, documents] of [[LIBRARY, ['CHANGELOG.md', ...DOCUMENTS]], [COMMAND, DOCUMENTS]] as const) {
  const manifest = manifestIn(source)

  describe(`the files of ${manifest.name}`, () => {
    const files = new Map<string, string>()

    before(async () => {
      const directory = path.join(await installed(), 'node_modules', manifest.name)
      filesIn(directory).forEach(name => files.set(name, fs.readFileSync(path.join(directory, name), 'utf-8')))
    })

    // something of an earlier build is too much
    it('are its sources, what is built from them and the documents, no more and no less', () => {
      const sources = filesIn(path.join(source, 'src'))

      expect([...files.keys()]).to.have.members([
        ...documents,
        ...sources.map(name => `src/${name}`),
        ...sources.filter(name => name.endsWith('.ts')).flatMap(name => BUILT.map(ending => `dist/src/${name.replace(/\.ts$/, ending)}`))
      ])
    })

    it('do not name this machine or its registry', async () => {
      const names = [`${ROOT}/`, new URL(await run(ROOT, 'npm', 'config', 'get', 'registry')).host]

      expect([...files].filter(([, text]) => HOME.test(text) || names.some(name => text.includes(name))).map(([name]) => name)).to.be.empty()
    })

    it('have the sources that their source maps lead to', () => {
      const maps = [...files].filter(([name]) => name.endsWith('.map'))
      const sources = maps.flatMap(([name, text]) => JSON.parse(text).sources.map((source: string) => path.posix.join(path.posix.dirname(name), source)))

      expect(sources).to.not.be.empty()
      expect([...files.keys()]).to.include.members(sources)
    })

    // npm makes the relative links of a README absolute, if it knows the host. It also
    // finds the bug tracker and the home page by that
    it('say where the repository is, which has what the README links to', () => {
      const { url, directory = '' } = manifest.repository
      const links = [...files.get('README.md')?.matchAll(/\]\((?!https?:|#)([^)#]+)/g) ?? []].map(([, link]) => link)

      expect(hostedGitInfo.fromUrl(url)?.bugs()).to.be.a('string')
      expect(path.join(ROOT, directory)).to.equal(path.join(source))
      expect(links).to.not.be.empty()
      expect(links.filter(link => !fs.existsSync(path.join(source, link)))).to.be.empty()
    })
  })
}

/** The files in a directory and below it, relative to it */
function filesIn (directory: string): string[] {
  return fs.readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(({ parentPath, name }) => path.relative(directory, path.join(parentPath, name)).split(path.sep).join('/'))
}
