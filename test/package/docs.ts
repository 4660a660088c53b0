import path from 'node:path'
import { ROOT, run } from './run.ts'
import type { Package } from './package.ts'

/**
 * Not `aegir docs`: that writes into the README, and needs the address of a site
 *
 * @throws {Error} with typedoc's warnings
 */
export async function apiDocs ({ project }: Package): Promise<void> {
  await run('typedoc', [
    '--tsconfig', 'tsconfig.json',
    '--out', path.join(project, 'docs'),
    '--readme', 'none',
    // links to the sources need a git remote
    '--disableSources',
    '--treatWarningsAsErrors',
    '--validation.notExported',
    '--validation.invalidLink',
    'src/index.ts',
    'src/hole-punching/dcutr.ts'
  ], { cwd: ROOT })
}
