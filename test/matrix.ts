import { spawnSync } from 'node:child_process'

/**
 * Runs the whole suite on each Node version that is supported, or on those that are given:
 * `npm run test:matrix -- 22 26`
 */
const versions = process.argv.length > 2 ? process.argv.slice(2) : ['22', '24', '26']

for (const version of versions) {
  const run = (...command: string[]): { status: number | null, stdout: string } => spawnSync('npx', ['-y', '-p', `node@${version}`, '--', ...command], {
    stdio: ['ignore', command[0] === 'node' ? 'pipe' : 'inherit', 'inherit'],
    encoding: 'utf-8'
  })

  const actual = run('node', '--version').stdout.trim()

  if (!actual.startsWith(`v${version}.`)) {
    throw new Error(`Node ${version} was asked for, ${actual} would run`)
  }

  process.stdout.write(`\nNode ${actual}\n`)

  if (run('aegir', 'test', '-t', 'node').status !== 0) {
    throw new Error(`The tests failed on Node ${actual}`)
  }
}
