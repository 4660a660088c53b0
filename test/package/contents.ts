import fs from 'node:fs/promises'
import path from 'node:path'
import { ROOT, run } from './run.ts'
import type { Package } from './package.ts'

/**
 * At the root of the package
 */
const DOCUMENTS = ['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'package.json']
const CHANGELOG = 'CHANGELOG.md'

/**
 * What each file of `src` is built into
 */
const BUILT = ['.js', '.js.map', '.d.ts', '.d.ts.map']

/**
 * Below the home directory of whoever builds
 */
const HOME = /(?<![\w.])\/(?:home|root|Users)\//

/**
 * The source code, what is built from it, and the documents: no more and no less.
 * Something of an earlier build counts as too much
 *
 * @throws {Error} that names the files at fault
 */
export async function contents ({ name, tarball, project }: Package): Promise<string> {
  const directory = path.join(project, 'node_modules', name)
  const sources = await filesIn(path.join(ROOT, 'src'))
  const expected = new Set([
    ...DOCUMENTS,
    ...(await fs.readdir(ROOT)).filter(name => name === CHANGELOG),
    ...sources.map(name => `src/${name}`),
    ...sources.flatMap(name => BUILT.map(ending => `dist/src/${name.replace(/\.ts$/, ending)}`))
  ])
  const actual = new Set(await filesIn(directory))

  assertNone('should be in it', [...expected].filter(name => !actual.has(name)))
  assertNone('should not be in it', [...actual].filter(name => !expected.has(name)))

  const files = new Map(await Promise.all([...actual].map(async name => [name, await fs.readFile(path.join(directory, name), 'utf-8')] as const)))

  assertNone('has a path or a host of this machine in it', await namesOfThisMachine(files))
  assertNone('maps to a source that is not in it', lostSources(files))

  const unpacked = [...files.values()].reduce((sum, text) => sum + Buffer.byteLength(text), 0)

  return `${files.size} files, ${kilobytes((await fs.stat(tarball)).size)} packed, ${kilobytes(unpacked)} unpacked`
}

/**
 * The files in a directory and below it, relative to it
 */
async function filesIn (directory: string): Promise<string[]> {
  const entries = await fs.readdir(directory, { recursive: true, withFileTypes: true })

  return entries
    .filter(entry => entry.isFile())
    .map(({ parentPath, name }) => path.relative(directory, path.join(parentPath, name)).split(path.sep).join('/'))
}

async function namesOfThisMachine (files: Map<string, string>): Promise<string[]> {
  const registry = new URL((await run('npm', ['config', 'get', 'registry'], { cwd: ROOT })).trim())
  const names = [`${ROOT}/`, registry.host]

  return [...files]
    .filter(([, text]) => HOME.test(text) || names.some(name => text.includes(name)))
    .map(([name]) => name)
}

function lostSources (files: Map<string, string>): string[] {
  return [...files]
    .filter(([name]) => name.endsWith('.map'))
    .filter(([name, text]) => !JSON.parse(text).sources.every((source: string) => files.has(path.posix.join(path.posix.dirname(name), source))))
    .map(([name]) => name)
}

function assertNone (complaint: string, names: string[]): void {
  if (names.length > 0) {
    throw new Error(names.map(name => `${name} ${complaint}`).join('\n'))
  }
}

function kilobytes (bytes: number): string {
  return `${Math.round(bytes / 1_000)} kB`
}
