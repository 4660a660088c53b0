import { run } from './run.ts'
import type { Package } from './package.ts'

/**
 * How long the programs may take, in ms
 */
const LIMIT = 20_000

/**
 * @throws {Error} if the peer was dialed from another port
 */
export async function dialsFromListeningPort ({ project }: Package): Promise<string> {
  const { listening, seen } = JSON.parse(await run('node', ['dial.js'], { cwd: project, limit: LIMIT }))

  if (!(listening > 0) || seen !== listening) {
    throw new Error(`The node listens on port ${listening}, its peer was dialed from ${seen}`)
  }

  return `listening on ${listening}, the peer saw ${seen}`
}

/**
 * @throws {Error} if CommonJS gets something else than an ES module
 */
export async function isRequired ({ entryPoints, project }: Package): Promise<string> {
  const names = await Promise.all(entryPoints.map(async entry => {
    const required = await exportedNames(project, 'commonjs', `require('${entry}')`)
    const imported = await exportedNames(project, 'module', `await import('${entry}')`)

    if (required.length === 0 || required.join() !== imported.join()) {
      throw new Error(`require('${entry}') gives [${required.join(', ')}], import gives [${imported.join(', ')}]`)
    }

    return `${entry}: ${required.join(', ')}`
  }))

  return names.join('; ')
}

async function exportedNames (project: string, type: string, expression: string): Promise<string[]> {
  const program = `process.stdout.write(JSON.stringify(Object.keys(${expression})))`

  return JSON.parse(await run('node', [`--input-type=${type}`, '--eval', program], { cwd: project, limit: LIMIT }))
}
