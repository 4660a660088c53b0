import fs from 'node:fs/promises'
import path from 'node:path'
import { run } from './run.ts'
import type { Package } from './package.ts'

/**
 * @throws {Error} that names the modules that are left
 */
export async function bundlerDropsUnusedImport ({ name, project }: Package): Promise<string> {
  const unused = await bundle(project, 'unused.js', 'node')
  const left = unused.modules.filter(name => name.startsWith('node_modules/'))

  if (left.length > 0) {
    throw new Error(left.join('\n'))
  }

  // would it have been seen?
  const used = await bundle(project, 'used.js', 'node')

  if (!used.modules.includes(`node_modules/${name}/dist/src/transport.js`)) {
    throw new Error('An import that is used is dropped as well')
  }

  return `${unused.bytes} bytes are left; used, it is ${Math.round(used.bytes / 1_000)} kB`
}

/**
 * @throws {Error} if it can't be bundled or fails in another way
 */
export async function failsInBrowser ({ project }: Package): Promise<string> {
  const { file, bytes } = await bundle(project, 'used.js', 'browser')
  const message = await run('node', [file], { cwd: project }).then(() => '', err => err.message)
  const said = /^Error: (.*browser.*)$/m.exec(message)?.[1]

  if (said == null) {
    throw new Error(`It does not fail, or for another reason: ${message}`)
  }

  return `'${said}', ${(bytes / 1_000).toFixed(1)} kB`
}

interface Bundle {
  file: string

  /**
   * The modules that something is left of, as paths in the project
   */
  modules: string[]
  bytes: number
}

async function bundle (project: string, entry: string, platform: 'node' | 'browser'): Promise<Bundle> {
  const file = path.join(project, `${platform}-${entry}`)
  const metafile = `${file}.json`
  await run('esbuild', [entry, '--bundle', '--format=esm', `--platform=${platform}`, `--outfile=${file}`, `--metafile=${metafile}`], { cwd: project })

  const [{ inputs, bytes }] = Object.values<any>(JSON.parse(await fs.readFile(metafile, 'utf-8')).outputs)

  return { file, bytes, modules: Object.keys(inputs).filter(name => inputs[name].bytesInOutput > 0) }
}
