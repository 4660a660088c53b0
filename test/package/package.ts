import fs from 'node:fs/promises'
import path from 'node:path'
import { ROOT, run } from './run.ts'

/**
 * What users have beside this package, each in the version that is installed here
 */
const OTHERS = [
  '@libp2p/circuit-relay-v2',
  '@libp2p/identify',
  '@libp2p/logger',
  '@libp2p/noise',
  '@libp2p/yamux',
  '@multiformats/multiaddr',
  '@types/node',
  'libp2p',
  'typescript'
]

/**
 * The package and where it is, or is going to be
 */
export interface Package {
  name: string
  version: string

  /**
   * What users can import
   */
  entryPoints: string[]

  /**
   * The file that `npm pack` makes
   */
  tarball: string

  /**
   * The directory of the project that the package is installed in. It also has the
   * files of `project/`
   */
  project: string
}

/**
 * @param directory - where the tarball and the project are to be
 */
export async function packageIn (directory: string): Promise<Package> {
  const { name, version, exports } = await manifestIn(ROOT)

  return {
    name,
    version,
    entryPoints: Object.keys(exports).map(entry => entry.replace(/^\./, name)),
    tarball: path.join(directory, `${name}-${version}.tgz`),
    project: path.join(directory, 'project')
  }
}

export async function build (): Promise<void> {
  await run('npm', ['run', 'build'], { cwd: ROOT })
}

export async function pack ({ tarball }: Package): Promise<void> {
  await run('npm', ['pack', '--pack-destination', path.dirname(tarball)], { cwd: ROOT })
}

/**
 * As users do, in a project that has nothing else
 */
export async function install ({ tarball, project }: Package): Promise<void> {
  const others = await Promise.all(OTHERS.map(async name => {
    const { version } = await manifestIn(path.join(ROOT, 'node_modules', name))

    return `${name}@${version}`
  }))

  await fs.cp(path.join(import.meta.dirname, 'project'), project, { recursive: true })
  await fs.writeFile(path.join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
  await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', tarball, ...others], { cwd: project })
}

async function manifestIn (directory: string): Promise<any> {
  return JSON.parse(await fs.readFile(path.join(directory, 'package.json'), 'utf-8'))
}
