import { troublesOf } from './troubles.ts'

/**
 * What a participant can be asked to do. Arguments and results travel as JSON
 */
export type Commands = Record<string, (...args: any[]) => unknown>

export interface Call {
  id: number
  command: string
  args: unknown[]
}

/**
 * What a participant tells its parent
 */
export type Report =
  { id: number, result: unknown } |
  { id: number, error: string } |
  { trouble: string } |
  { progress: string }

/**
 * In ms
 */
const LIFETIME = 5 * 60_000

/**
 * The child's side of a process: does what the parent asks for, and ends when
 * the parent has gone, or at the latest after {@link LIFETIME}
 */
export function serve (commands: Commands): void {
  troublesOf(process, trouble => { tell({ trouble }) })
  process.once('disconnect', () => { process.exit() })
  setTimeout(() => {
    tell({ trouble: `still running after ${LIFETIME / 1000} s` })
    setImmediate(() => { process.exit(1) })
  }, LIFETIME).unref()

  process.on('message', ({ id, command, args }: Call) => {
    call(commands[command], args).then(
      result => { tell({ id, result }) },
      err => { tell({ id, error: `${err?.stack ?? err}` }) }
    )
  })
}

export function tellProgress (progress: string): void {
  tell({ progress })
}

async function call (command: Commands[string], args: unknown[]): Promise<unknown> {
  return command(...args)
}

function tell (report: Report): void {
  process.send?.(report, undefined, undefined, err => {
    if (err != null) {
      process.exit()
    }
  })
}
