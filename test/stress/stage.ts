import { startScript } from '../kit/processes.ts'
import type { Counts } from './counting.ts'
import type { Script } from '../kit/processes.ts'
import type { Functions } from '../kit/serve.ts'

/**
 * How long a process may take for what it is asked, in ms
 */
const LIMIT = 4 * 60_000

/**
 * What a part of the test has to work with
 */
export interface Stage {
  readonly seed: number

  /**
   * Starts a script of this directory in a process of its own, which ends with
   * the part. All that goes wrong in it counts as off
   */
  start<F extends Functions>(script: string, nodeOptions?: string[]): Script<F>

  /**
   * Prints a line of counts
   */
  print(line: string): void

  /**
   * Shows how far the part is, on a terminal only
   */
  progress(text: string): void

  /**
   * `complaint` counts as off unless `ok`
   */
  expect(ok: boolean, complaint: string): void
  expectEqual(what: string, actual: number, expected: number): void
  expectNothing(what: string, counts: Counts): void

  /**
   * Ends the processes and says how long it took
   *
   * @returns what was off
   */
  end(): Promise<string[]>
}

export function createStage (name: string, seed: number): Stage {
  const off: string[] = []
  const scripts: Array<{ name: string, script: Script<any> }> = []
  const started = performance.now()
  const toTerminal = (text: string): void => {
    if (process.stdout.isTTY) {
      process.stdout.write(`\r\x1b[K${text}`)
    }
  }

  const stage: Stage = {
    seed,
    start (name, execArgv) {
      const script = startScript<any>(new URL(name, import.meta.url), [], {
        execArgv,
        limit: LIMIT,
        onNews: (kind, text) => {
          if (kind === 'progress') {
            stage.progress(text)
          } else {
            off.push(`${name}: ${text}`)
          }
        }
      })
      scripts.push({ name, script })

      return script
    },
    print (line) {
      toTerminal('')
      process.stdout.write(`${name.padEnd(8)} ${line}\n`)
    },
    progress (text) {
      toTerminal(`${name.padEnd(8)} ${text}`)
    },
    expect (ok, complaint) {
      if (!ok) {
        off.push(complaint)
      }
    },
    expectEqual (what, actual, expected) {
      stage.expect(actual === expected, `${what}: ${actual}, expected ${expected}`)
    },
    expectNothing (what, counts) {
      Object.entries(counts).forEach(([kind, n]) => { stage.expectEqual(`${kind} ${what}`, n, 0) })
    },
    async end () {
      await Promise.all(scripts.map(async ({ name, script }) => {
        const how = await script.stop()
        stage.expect(how === 'code 0', `${name}: it ended: ${how}`)
      }))
      stage.print(`${off.length === 0 ? 'ok' : `${off.length} OFF`}, ${((performance.now() - started) / 1000).toFixed(1)} s`)

      return off
    }
  }

  return stage
}
