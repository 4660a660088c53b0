import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { execa } from 'execa'

export const ROOT = path.join(import.meta.dirname, '../..')

/** The packages of this repository, as directories */
export const LIBRARY = ROOT
export const COMMAND = path.join(ROOT, 'reuseport-check')

/** What users have beside them, each in the version that is installed here */
const OTHERS = [
  '@libp2p/circuit-relay-v2',
  '@libp2p/dcutr',
  '@libp2p/identify',
  '@libp2p/logger',
  '@libp2p/noise',
  '@libp2p/yamux',
  '@multiformats/multiaddr',
  '@types/node',
  'libp2p',
  'typescript'
]

/** What users can import */
export const ENTRY_POINTS = Object.keys(manifestIn(LIBRARY).exports).map(entry => entry.replace(/^\./, manifestIn(LIBRARY).name))

let project: Promise<string> | undefined

/**
 * An empty project, but for the files of `project/`, with what `npm pack` makes of the
 * packages of this repository, as they are built
 *
 * @returns its directory
 */
export async function installed (): Promise<string> {
  project ??= install()

  return project
}

async function install (): Promise<string> {
  const others = OTHERS.map(name => `${name}@${manifestIn(path.join(ROOT, 'node_modules', name)).version}`)
  const project = await projectWith(await tarball(LIBRARY), await tarball(COMMAND), ...others)
  fs.cpSync(path.join(import.meta.dirname, 'project'), project, { recursive: true })

  return project
}

/** A project of its own, which is empty but for these packages */
export async function projectWith (...packages: string[]): Promise<string> {
  const project = emptyDirectory()
  fs.writeFileSync(path.join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
  await run(project, 'npm', 'install', '--prefer-offline', ...packages)

  return project
}

/** The code blocks of a document that are in this language */
export function codeIn (document: string, language: string): string[] {
  const text = fs.readFileSync(path.join(ROOT, document), 'utf-8')

  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].filter(([, name]) => name === language).map(([,, code]) => code)
}

const tarballs = new Map<string, Promise<string>>()

/** What `npm pack` makes of a package */
export async function tarball (directory: string): Promise<string> {
  const packed = tarballs.get(directory) ?? pack(directory)
  tarballs.set(directory, packed)

  return packed
}

async function pack (directory: string): Promise<string> {
  const destination = emptyDirectory()
  await run(directory, 'npm', 'pack', '--pack-destination', destination)

  return path.join(destination, fs.readdirSync(destination)[0])
}

/** It is gone when this process ends */
export function emptyDirectory (): string {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'libp2p-reuseport-tcp-'))
  process.once('exit', () => { fs.rmSync(directory, { recursive: true, force: true }) })

  return directory
}

export function manifestIn (directory: string): any {
  return JSON.parse(fs.readFileSync(path.join(directory, 'package.json'), 'utf-8'))
}

/**
 * Runs a command: one of `node_modules/.bin` of this repository, or else one of the
 * machine; without the options of the tests
 *
 * @returns what it printed to stdout
 * @throws {Error} with all that it printed, if its exit code is not 0 or it takes too long
 */
export async function run (cwd: string, command: string, ...args: string[]): Promise<string> {
  const { stdout } = await execa(command, args, {
    cwd,
    preferLocal: true,
    localDir: ROOT,
    stdin: 'ignore',
    timeout: 120_000,
    env: { NODE_OPTIONS: undefined, NODE_ENV: undefined, NO_COLOR: '1' }
  })

  return stdout
}
