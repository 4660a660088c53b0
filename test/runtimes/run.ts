import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { KEEPS_RUNNING, SAYS_NOTHING, SAYS_WHY, WORKS } from './outcomes.ts'
import type { Report } from './smoke.ts'

/**
 * How long a process may take to report, and then to end, in ms. There are two
 * for each runtime
 */
const REPORT_LIMIT = 13_000
const END_LIMIT = 2_000

/**
 * The commands that run a TypeScript file, and that fetch nothing
 */
const COMMANDS: Record<string, [command: string, ...args: string[]]> = {
  Node: [process.execPath],
  Bun: [inBin('bun'), '--no-install'],
  Deno: [inBin('deno'), 'run', '--allow-all', '--no-lock', '--cached-only']
}

const SMOKE = path.join(import.meta.dirname, 'smoke.ts')

/**
 * Runs the smoke test in a runtime, each part in a process of its own
 */
export async function run (runtime: string, peers: string, hosts: string[]): Promise<Report> {
  const parts = [
    await runPart(runtime, 'transport', [peers, ...hosts]),
    await runPart(runtime, 'nodes', [])
  ]

  return {
    version: parts[0].version,
    outcomes: Object.assign({}, ...parts.map(({ outcomes }) => outcomes)),
    errors: parts.flatMap(({ errors }) => errors)
  }
}

async function runPart (runtime: string, part: string, args: string[]): Promise<Report> {
  const [command, ...options] = COMMANDS[runtime]
  const child = spawn(command, [...options, SMOKE, part, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      DEBUG: 'libp2p:reuseport-tcp*',
      DEBUG_COLORS: 'no',
      DENO_NO_UPDATE_CHECK: '1',
      LIBP2P_TCP_REUSEPORT: ''
    }
  })
  const kill = (): void => { child.kill('SIGKILL') }
  let timer = setTimeout(kill, REPORT_LIMIT)
  let stdout = ''
  let stderr = ''

  child.stderr.setEncoding('utf-8').on('data', text => { stderr += text })
  child.stdout.setEncoding('utf-8').on('data', text => {
    stdout += text
    clearTimeout(timer)
    timer = setTimeout(kill, END_LIMIT)
  })

  const [code, signal] = await once(child, 'close').catch(err => [err.code])
  clearTimeout(timer)

  const report = parse(stdout) ?? { version: '', outcomes: {}, errors: [stdout, stderr] }

  return {
    ...report,
    outcomes: {
      ...report.outcomes,
      [`${part}: what the log says`]: whatTheLogSays(stderr.split('\n')),
      [`${part}: the process ends`]: child.killed ? KEEPS_RUNNING : howItEnded(code, signal)
    }
  }
}

function parse (stdout: string): Report | undefined {
  try {
    return JSON.parse(stdout)
  } catch {
    // it has not come that far, or said something else
  }
}

/**
 * About ports that can't be reused
 */
function whatTheLogSays (lines: string[]): string {
  const said = lines.filter(line => line.includes('ports can not be reused here'))

  if (said.length === 0) {
    return SAYS_NOTHING
  }

  if (said.some(line => !line.includes(' libp2p:reuseport-tcp ports can not'))) {
    return 'why, as an error'
  }

  return said.length === 1 ? SAYS_WHY : `why, ${said.length} times`
}

function howItEnded (code: number | string | null, signal: string | null): string {
  return code === 0 ? WORKS : signal ?? `code ${code}`
}

function inBin (name: string): string {
  return path.join(import.meta.dirname, '../../node_modules/.bin', name)
}
