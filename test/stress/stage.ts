import { startParticipant } from './processes.ts'
import type { Commands } from './participant.ts'
import type { Participant } from './processes.ts'

/**
 * What a part of the test has to work with
 */
export interface Stage {
  readonly seed: number

  /**
   * Starts a script of this directory in a process of its own, which ends with
   * the part. All that goes wrong in it counts as off
   */
  start<C extends Commands>(script: string, nodeOptions?: string[]): Participant<C>

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

  /**
   * Ends the processes and says how long it took
   *
   * @returns what was off
   */
  end(): Promise<string[]>
}

export function createStage (name: string, seed: number): Stage {
  const off: string[] = []
  const participants: Array<Participant<any>> = []
  const started = performance.now()
  const toTerminal = (text: string): void => {
    if (process.stdout.isTTY) {
      process.stdout.write(`\r\x1b[K${text}`)
    }
  }

  const stage: Stage = {
    seed,
    start (script, nodeOptions) {
      const participant = startParticipant<any>(script, {
        nodeOptions,
        onTrouble: trouble => { off.push(`${script}: ${trouble}`) },
        onProgress: stage.progress
      })
      participants.push(participant)

      return participant
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
    async end () {
      await Promise.all(participants.map(async participant => participant.stop()))
      stage.print(`${off.length === 0 ? 'ok' : `${off.length} OFF`}, ${((performance.now() - started) / 1000).toFixed(1)} s`)

      return off
    }
  }

  return stage
}
