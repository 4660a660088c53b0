/**
 * Shows that the package works for those who install it: packs it, installs the tarball
 * into an empty project and uses it there, from JavaScript, from TypeScript and with
 * tools. Prints a line for each step; the exit code is 1 if one failed.
 *
 * - `npm run test:package`
 */

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { bundlerDropsUnusedImport, failsInBrowser } from './bundles.ts'
import { checksThisMachine, saysHelp, saysVersion } from './command.ts'
import { contents } from './contents.ts'
import { apiDocs } from './docs.ts'
import { importIsWithoutEffect, mainEntryLoadsLittle } from './loading.ts'
import { build, install, pack, packageIn } from './package.ts'
import { exportsAreSound, typesAreSound } from './packaging.ts'
import { compiles, compilesWithoutDom } from './types.ts'
import { dialsFromListeningPort, isRequired } from './use.ts'
import type { Package } from './package.ts'

/**
 * Each returns what there is to say about it, and throws if it failed
 */
type Steps = Record<string, (pkg: Package) => Promise<string | void>>

/**
 * In ms
 */
const LIFETIME = 10 * 60_000

/**
 * Without these there is nothing to look at
 */
const PREPARATION: Steps = {
  build,
  'npm pack': pack,
  'npm install': install
}

const STEPS: Steps = {
  'the tarball has what users need': contents,
  'publint --strict': exportsAreSound,
  'attw --profile esm-only': typesAreSound,
  'a node dials from its port': dialsFromListeningPort,
  'CommonJS can require it': isRequired,
  'TypeScript, strict': compiles,
  'TypeScript, without the types of the DOM': compilesWithoutDom,
  'the main entry loads no DCUtR': mainEntryLoadsLittle,
  'an import has no side effects': importIsWithoutEffect,
  'a bundler drops an unused import': bundlerDropsUnusedImport,
  'in a browser it says why it fails': failsInBrowser,
  'reuseport-check --help': saysHelp,
  'reuseport-check --version': saysVersion,
  'reuseport-check --json': checksThisMachine,
  'typedoc has no warnings': apiDocs
}

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'libp2p-reuseport-tcp-'))
process.once('exit', () => { fs.rmSync(directory, { recursive: true, force: true }) })
process.once('SIGINT', () => { process.exit(130) })
process.once('SIGTERM', () => { process.exit(143) })
setTimeout(() => {
  process.stderr.write(`Not done after ${LIFETIME / 1000} s\n`)
  process.exit(1)
}, LIFETIME).unref()

const pkg = await packageIn(directory)
const failures: string[] = []

for (const [name, step] of Object.entries({ ...PREPARATION, ...STEPS })) {
  const start = performance.now()

  try {
    const remark = await step(pkg) ?? ''
    print('ok', name, start, remark)
  } catch (err: any) {
    print('FAILED', name, start)
    failures.push(`${name}: ${err.message}`)

    if (Object.hasOwn(PREPARATION, name)) {
      break
    }
  }
}

process.stdout.write(failures.length === 0 ? 'The package works\n' : failures.map(failure => `\nFAILED  ${failure}\n`).join(''))
process.exitCode = failures.length === 0 ? 0 : 1

function print (state: string, name: string, start: number, remark: string = ''): void {
  const seconds = ((performance.now() - start) / 1000).toFixed(1)

  process.stdout.write(`${state.padEnd(6)}  ${name.padEnd(40)}  ${seconds.padStart(5)} s  ${remark}`.trimEnd() + '\n')
}
