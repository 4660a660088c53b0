#!/usr/bin/env node

import yoctoSpinner from 'yocto-spinner'
import { USAGE_ERROR, parseArguments, wantsJson } from './command-line.ts'
import { interruption } from './interruption.ts'
import type { WriteStream } from 'node:tty'

const args = process.argv.slice(2)

// on a signal, the spinner would end the process before the nodes are stopped
const spinner = yoctoSpinner({ handleSignals: false })

// the spinner hides the cursor
process.once('exit', () => { spinner.stop() })

// so that nothing that a node left behind keeps the process alive
process.exit(await main())

async function main (): Promise<number> {
  const signal = interruption()

  try {
    const { options, output } = parseArguments(args)

    if (output != null) {
      await print(process.stdout, output)

      return 0
    }

    // not at the top: this import fails if this Node is too old
    const { check } = await import('./check.ts')
    const { PUBLIC_PEERS_NOTICE } = await import('./public-peers.ts')
    const { report } = await import('./report.ts')

    if (options.publicPeers) {
      await print(process.stderr, PUBLIC_PEERS_NOTICE)
    }

    const result = await check({ ...options, signal, show })

    await print(process.stdout, options.json ? toJson(result) : report(result, { columns: process.stdout.columns, setting: process.env.LIBP2P_TCP_REUSEPORT }))

    return result.verdict.ok ? 0 : 1
  } catch (err: any) {
    if (wantsJson(args)) {
      await print(process.stdout, toJson({ error: err.message }))
    } else if (!signal.aborted) {
      // after Ctrl-C, no message is needed
      await print(process.stderr, `reuseport-check: ${err.message}\n${err.exitCode === USAGE_ERROR ? 'Try \'reuseport-check --help\'\n' : ''}`)
    }

    return err.exitCode ?? 1
  }
}

/** On a terminal only */
function show (step: string): void {
  if (process.stderr.isTTY) {
    spinner.start().text = step
  }
}

/**
 * Resolves when `text` is written, or when the reader has gone, as in `… | head -1`
 *
 * @throws {Error} the system's error, for instance when a disk is full
 */
async function print (stream: WriteStream, text: string): Promise<void> {
  spinner.stop()
  // the error is also emitted as an event, which needs a listener
  stream.once('error', () => {})

  await new Promise<void>((resolve, reject) => {
    stream.write(text, err => {
      if (err == null || (err as NodeJS.ErrnoException).code === 'EPIPE') {
        resolve()
      } else {
        reject(err)
      }
    })
  })
}

function toJson (value: object): string {
  return `${JSON.stringify(value, undefined, 2)}\n`
}
