/**
 * Reports what must never happen in any process, and keeps the process running
 * so that more can be found
 */
export function troublesOf (process: NodeJS.Process, report: (trouble: string) => void): void {
  process.on('uncaughtException', err => { report(`uncaught exception: ${err?.stack ?? err}`) })
  process.on('unhandledRejection', (err: any) => { report(`unhandled rejection: ${err?.stack ?? err}`) })
  process.on('warning', warning => { report(`warning: ${warning.stack}`) })
}
