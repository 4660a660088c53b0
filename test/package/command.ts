import { run } from './run.ts'
import type { Package } from './package.ts'

/**
 * How long the command may take, in ms
 */
const LIMIT = 30_000

export async function saysHelp ({ project }: Package): Promise<void> {
  const output = await check(project, '--help')

  if (!output.startsWith('Usage: reuseport-check ')) {
    throw new Error(`It prints ${output}`)
  }
}

export async function saysVersion ({ project, version }: Package): Promise<string> {
  const output = (await check(project, '--version')).trim()

  if (output !== version) {
    throw new Error(`It prints ${output}, this is ${version}`)
  }

  return output
}

/**
 * With the peers that it starts itself
 *
 * @throws {Error} if a peer did not see the listening port
 */
export async function checksThisMachine ({ project }: Package): Promise<string> {
  const output = await check(project, '--json')
  const { localPeers, peers, verdict } = JSON.parse(output)

  if (localPeers !== true || peers.length === 0 || verdict.ok !== true || verdict.portsReused !== 'all') {
    throw new Error(output)
  }

  return `dialed ${peers.length} peers from the listening ports`
}

async function check (project: string, option: string): Promise<string> {
  return run('node_modules/.bin/reuseport-check', [option], { cwd: project, limit: LIMIT })
}
