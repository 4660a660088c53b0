import { serve as serveParent, tell } from '../kit/serve.ts'
import type { Functions } from '../kit/serve.ts'

/**
 * As in test/kit. All that must never happen is told to the parent
 */
export function serve (functions: Functions): void {
  onTrouble(trouble => { tell('trouble', trouble) })
  serveParent(functions)
}

/**
 * Reports what must never happen in any process, and keeps this one running so that more
 * can be found
 */
export function onTrouble (report: (trouble: string) => void): void {
  process.on('uncaughtException', err => { report(`uncaught exception: ${err?.stack ?? err}`) })
  process.on('unhandledRejection', (err: any) => { report(`unhandled rejection: ${err?.stack ?? err}`) })
  process.on('warning', warning => { report(`warning: ${warning.stack}`) })
}
