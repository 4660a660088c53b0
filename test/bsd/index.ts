/**
 * Port reuse under the rules of xnu (macOS), without a Mac: bsd-bind-rules.c gives them to Linux
 * processes. First each rule, then parts of the other tests, with the number of dials
 * that came from a listening port. Linux and root only, for the namespaces.
 *
 * Two parts show that all specs pass on other machines, as far as these lack only what
 * fewer-abilities.c takes away: `like-macos`, and `no-reuse`, where no port can be reused.
 *
 * - `npm run test:bsd`
 * - `npm run test:bsd -- rules specs`: these parts
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { choose, parseOrExit } from '../kit/arguments.ts'
import { compileLibrary } from '../kit/library.ts'

const ROOT = path.join(import.meta.dirname, '../..')
const RULES = 'rules'

/** How much of what a failed part wrote to stderr is shown */
const MAX_LINES = 100

/** What it comes to in xnu, in Linux, and when it was tried: `works`, or an error's code */
interface Rule {
  rule: string
  xnu: string
  linux: string
  seen: string
}

interface Part {
  command: string[]

  /** The libraries that the processes have. bsd-bind-rules.c if nothing else is said */
  libraries?: string[]

  /** How many dials must come from a listening port, at least */
  reused: number
}

const SPECS = ['aegir', 'test', '-t', 'node', '--build', 'false']

/**
 * Once a connection is closed, its ends are in TIME_WAIT, where xnu does not allow another
 * one with the same. So a second dial to a peer within 30 s comes from an ephemeral port
 */
const PARTS: Record<string, Part> = {
  specs: {
    command: [...SPECS, ...['dialing/*', 'listening/*', 'port-reuse/*', 'node/restart', 'node/nodes'].flatMap(name => ['-f', `test/${name}.spec.ts`])],
    reused: 100
  },
  'like-macos': { command: SPECS, libraries: ['fewer-abilities', 'bsd-bind-rules'], reused: 100 },
  'no-reuse': { command: SPECS, libraries: ['fewer-abilities'], reused: 0 },
  // the peers listen on 750 endpoints
  churn: { command: ['node', 'test/stress/index.ts', 'cycles'], reused: 500 },
  // both dial, with three kinds of addresses
  'mutual-dials': { command: ['node', 'test/nat/index.ts', 'mutual-dials', '--rounds', '1'], reused: 6 },
  // two to the relay, and both of the punch
  'hole-punch': { command: ['node', 'test/nat/index.ts', '--loss', '0', '--rounds', '1'], reused: 4 }
}

const names = parseOrExit(() => choose(process.argv.slice(2), [RULES, ...Object.keys(PARTS)]))
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'libp2p-reuseport-tcp-'))
process.once('exit', () => { fs.rmSync(directory, { recursive: true, force: true }) })
process.once('SIGINT', () => { process.exit(130) })

const compiled = new Map(['bsd-bind-rules', 'fewer-abilities'].map(name => [name, compileLibrary(path.join(import.meta.dirname, `${name}.c`), directory)]))
const failures: string[] = []

for (const name of names) {
  process.stdout.write(`\n${name}\n`)
  failures.push(...name === RULES ? await tryRules() : await play(name, PARTS[name]))
}

process.stdout.write(failures.length === 0 ? '\nAll is as expected\n' : `\n${failures.map(failure => `FAILED  ${failure}\n`).join('')}`)
process.exitCode = failures.length === 0 ? 0 : 1

function envWith (...names: string[]): NodeJS.ProcessEnv {
  return { ...process.env, LD_PRELOAD: names.map(name => compiled.get(name)).join(':') }
}

/**
 * With the library and, to see that it makes the difference, without. In a network
 * namespace: if other processes fill the table of this one, there is no TIME_WAIT
 */
async function tryRules (): Promise<string[]> {
  const wrong: string[] = []

  for (const [system, env] of [['xnu', envWith('bsd-bind-rules')], ['linux', process.env]] as const) {
    const child = spawn('unshare', ['--net', 'sh', '-ec', 'ip link set lo up; exec python3 -B rules.py'], {
      cwd: import.meta.dirname,
      env,
      stdio: ['ignore', 'pipe', 'inherit']
    })
    const rules: Rule[] = JSON.parse(await text(child.stdout))

    for (const { rule, seen, [system]: expected } of rules) {
      process.stdout.write(`${system.padEnd(5)}  ${seen.padEnd(13)}  ${rule}\n`)

      if (seen !== expected) {
        wrong.push(`${rule}: ${seen}, not ${expected} as in ${system}`)
      }
    }
  }

  return wrong
}

/** Runs a command of the other tests and counts what the transports of all its processes log */
async function play (name: string, { command: [command, ...args], libraries = ['bsd-bind-rules'], reused }: Part): Promise<string[]> {
  const child = spawn(command, args, {
    cwd: ROOT,
    // the specs leave out what needs Linux
    env: { ...envWith(...libraries), DEBUG: 'libp2p:reuseport-tcp', DEBUG_COLORS: 'no', LEAVE_NOTHING_OUT: undefined },
    stdio: ['ignore', 'inherit', 'pipe']
  })
  const closed = once(child, 'close')
  let fromListening = 0
  let fromEphemeral = 0
  const errors: string[] = []

  for await (const line of createInterface({ input: child.stderr })) {
    const [, source] = / connected to .*, source port: (\w+)$/.exec(line) ?? []
    fromListening += source === 'loopback' || source === 'route' || source === 'wildcard' ? 1 : 0
    fromEphemeral += source === 'ephemeral' ? 1 : 0

    if (!line.includes(' libp2p:reuseport-tcp ')) {
      errors.push(line)
    }
  }

  const [code] = await closed

  if (code !== 0) {
    // the stacks of errors that were logged are among them
    process.stderr.write(errors.slice(-MAX_LINES).map(line => `${line}\n`).join(''))
  }

  process.stdout.write(`${name}: ${fromListening} dials from a listening port, ${fromEphemeral} from an ephemeral one\n`)

  return [
    ...code === 0 ? [] : [`${name}: exit code ${code}`],
    ...fromListening >= reused ? [] : [`${name}: ${fromListening} dials from a listening port, at least ${reused} expected`]
  ]
}
