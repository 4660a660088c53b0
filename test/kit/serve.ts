/** What a script does for the process that started it. Arguments and results travel as JSON */
export type Functions = Record<string, (...args: any[]) => unknown>

/** Answers, and what nobody asked for */
export type Said =
  { id: number, result: unknown } |
  { id: number, error: { message: string, stack?: string, code?: string } } |
  { news: string, text: string }

/** To be called in the script, which then ends with its parent */
export function serve (functions: Functions): void {
  process.once('disconnect', () => { process.exit() })

  if (!process.connected) {
    process.exit()
  }

  process.on('message', ({ id, name, args }: { id: number, name: string, args: unknown[] }) => {
    Promise.resolve(args).then(args => functions[name](...args)).then(
      result => { say({ id, result }) },
      ({ message, stack, code }) => { say({ id, error: { message, stack, code } }) }
    )
  })
}

export function tell (news: string, text: string): void {
  say({ news, text })
}

function say (said: Said): void {
  process.send?.(said, undefined, undefined, err => {
    // nobody is left to hear it
    if (err != null) {
      process.exit()
    }
  })
}
