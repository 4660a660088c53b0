import fs from 'node:fs'

/**
 * This file is one level deeper when it is built
 */
const MANIFESTS = ['../../package.json', '../../../package.json']

/**
 * The version of this package
 *
 * @throws {Error} if its package.json is gone
 */
export function version (): string {
  const manifest = MANIFESTS.map(path => new URL(path, import.meta.url)).find(url => fs.existsSync(url))

  if (manifest == null) {
    throw new Error('There is no package.json')
  }

  return JSON.parse(fs.readFileSync(manifest, 'utf-8')).version
}
