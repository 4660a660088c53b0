import { run } from './run.ts'
import type { Package } from './package.ts'

/**
 * How long an import may take, in ms. It ends by itself, unless it opened something
 */
const LIMIT = 10_000

const MAIN_ENTRY = 'libp2p-reuseport-tcp'

/**
 * What only hole punching needs, or only the command
 */
const UNNEEDED = [
  '@libp2p/dcutr',
  '@libp2p/identify',
  '@libp2p/noise',
  '@libp2p/ping',
  '@libp2p/yamux',
  'libp2p',
  `${MAIN_ENTRY}/dist/src/bin`,
  `${MAIN_ENTRY}/dist/src/hole-punching/dcutr.js`,
  `${MAIN_ENTRY}/dist/src/hole-punching/punch.js`
]

/**
 * A module of each entry point
 */
const NEEDED = {
  [MAIN_ENTRY]: `${MAIN_ENTRY}/dist/src/transport.js`,
  [`${MAIN_ENTRY}/dcutr`]: '@libp2p/dcutr/dist/src/index.js'
}

/**
 * @throws {Error} that names the modules that should not have been loaded
 */
export async function mainEntryLoadsLittle ({ project }: Package): Promise<string> {
  const loaded = await modulesLoadedBy(project, MAIN_ENTRY)
  const unneeded = loaded.filter(isUnneeded)

  if (unneeded.length > 0) {
    throw new Error(unneeded.join('\n'))
  }

  // would it have been seen?
  for (const [entry, module] of Object.entries(NEEDED)) {
    if (!(await modulesLoadedBy(project, entry)).includes(module)) {
      throw new Error(`${entry} is said not to load ${module}`)
    }
  }

  return `${loaded.length} modules of ${new Set(loaded.map(packageOf)).size} packages`
}

/**
 * What package.json's `sideEffects: false` says. Sockets must not even be opened and
 * closed again, as the transport does when it is created to see what this Node can do
 *
 * @throws {Error} that names what changed
 */
export async function importIsWithoutEffect ({ entryPoints, project }: Package): Promise<string> {
  for (const entry of entryPoints) {
    const effects: string[] = JSON.parse(await run('node', ['effects.js', entry], { cwd: project, limit: LIMIT }))

    if (effects.length > 0) {
      throw new Error(effects.map(effect => `${entry}: ${effect}`).join('\n'))
    }
  }

  return entryPoints.join(', ')
}

/**
 * As paths below `node_modules`
 */
async function modulesLoadedBy (project: string, entry: string): Promise<string[]> {
  const urls: string[] = JSON.parse(await run('node', ['loaded.js', entry], { cwd: project, limit: LIMIT }))

  return urls.filter(url => url.startsWith('file:')).map(url => url.slice(url.lastIndexOf('/node_modules/') + '/node_modules/'.length))
}

function isUnneeded (module: string): boolean {
  return UNNEEDED.some(name => module === name || module.startsWith(`${name}/`))
}

function packageOf (module: string): string {
  return module.split('/', module.startsWith('@') ? 2 : 1).join('/')
}
