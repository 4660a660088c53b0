#!/usr/bin/env node

import { HELP } from './help.ts'
import { Interrupted, interruption } from './interruption.ts'
import { UsageError, parseOptions, wantsJson } from './options.ts'
import { write } from './output.ts'
import { progressLine } from './progress.ts'
import { version } from './version.ts'

const args = process.argv.slice(2)
const progress = progressLine(process.stderr, process.env.TERM)

// whatever a node may have left behind does not keep the process alive
process.exit(await main())

async function main (): Promise<number> {
  const signal = interruption()

  try {
    const options = parseOptions(args)

    if (options.help) {
      return await print(HELP)
    }

    if (options.version) {
      return await print(`${version()}\n`)
    }

    checkNode()

    // not before it is known that Node can run them
    const { check } = await import('./check.ts')
    const { report } = await import('./report.ts')
    const result = await check({ ...options, signal, show: progress.show })

    await print(options.json ? toJson(result) : report(result, process.env.LIBP2P_TCP_REUSEPORT))

    return result.verdict.ok ? 0 : 1
  } catch (err: any) {
    await printError(err)

    return exitCode(err)
  }
}

/**
 * @throws {Error}
 */
function checkNode (): void {
  if (!('withResolvers' in Promise)) {
    throw new Error(`Node.js 22.12 or newer is needed, this is ${process.version}`)
  }
}

/**
 * @returns the exit code of a command that did what it was to do
 */
async function print (text: string): Promise<number> {
  progress.erase()
  await write(process.stdout, text)

  return 0
}

async function printError (err: Error): Promise<void> {
  if (wantsJson(args)) {
    await print(toJson({ error: err.message }))
    return
  }

  progress.erase()

  // who pressed Ctrl-C knows
  if (!(err instanceof Interrupted)) {
    await write(process.stderr, `reuseport-check: ${err.message}\n${err instanceof UsageError ? 'Try \'reuseport-check --help\'\n' : ''}`)
  }
}

function exitCode (err: Error): number {
  if (err instanceof Interrupted) {
    return err.exitCode
  }

  return err instanceof UsageError ? 2 : 1
}

function toJson (value: object): string {
  return `${JSON.stringify(value, undefined, 2)}\n`
}
