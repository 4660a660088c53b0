import fs from 'node:fs/promises'
import path from 'node:path'
import { CommandError, run } from './run.ts'
import type { Package } from './package.ts'

/**
 * `skipLibCheck` is on in most projects. Here it is off, so that our declarations are
 * checked as well, and those of all that they refer to
 */
const FLAGS = ['--noEmit', '--strict', '--skipLibCheck', 'false', '--module', 'nodenext', '--target', 'es2024', '--types', 'node', '--pretty', 'false']

/**
 * What `tsconfig.json` of most projects for Node has: no `DOM`
 */
const WITHOUT_DOM = ['--lib', 'es2024']

/**
 * An ES module and a CommonJS module
 *
 * @throws {CommandError} with what the compiler says
 */
export async function compiles ({ project }: Package): Promise<string> {
  await compile(project, [])

  return (await run('node_modules/.bin/tsc', ['--version'], { cwd: project })).trim()
}

/**
 * The declarations of js-libp2p need the DOM's types, so without these they do not
 * compile, unless they are skipped. Ours must
 *
 * @throws {Error} if an error is not in the declarations of others
 */
export async function compilesWithoutDom ({ name, project }: Package): Promise<string> {
  const errors = await compile(project, WITHOUT_DOM).then(() => [], errorsIn)
  const packages = errors.map(error => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(error)?.[1])
  const ours = errors.filter((_, index) => packages[index] == null || packages[index] === name)

  if (ours.length > 0) {
    throw new Error(ours.join('\n'))
  }

  return errors.length === 0 ? '' : `${errors.length} errors, in ${[...new Set(packages)].join(', ')}`
}

async function compile (project: string, flags: string[]): Promise<void> {
  // not in project/: `node16`, which is what this repository is compiled as, can't require
  await fs.writeFile(path.join(project, 'commonjs.cts'), 'import { reuseportTcp } from \'libp2p-reuseport-tcp\'\n\nreuseportTcp()\n')
  await run('node_modules/.bin/tsc', [...FLAGS, ...flags, 'program.ts', 'commonjs.cts'], { cwd: project })
}

/**
 * @returns those that the compiler found
 * @throws {Error} if it did not get that far
 */
function errorsIn (err: Error): string[] {
  const errors = err instanceof CommandError ? err.output.split('\n').filter(line => /\berror TS\d+: /.test(line)) : []

  if (errors.length === 0) {
    throw err
  }

  return errors
}
