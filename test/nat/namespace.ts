import { startHelper } from './helper.ts'
import { run } from './run.ts'
import { startScript } from './script.ts'
import type { Functions, Script } from './script.ts'

/**
 * A network namespace: a machine, as far as the network is concerned. It has no
 * name in the file system, so it is gone as soon as no process is in it
 */
export interface Namespace {
  /**
   * Of a process in it
   */
  readonly pid: number

  /**
   * The command line that runs a command in it. What it starts ends with this
   * process
   */
  commandLine(command: string, ...args: string[]): [string, string[]]

  /**
   * Runs a command in it and returns what it printed
   *
   * @throws {Error} if the command fails
   */
  run(command: string, ...args: string[]): Promise<string>

  /**
   * Starts a script in it, which must call `serve`
   */
  start<T extends Functions>(script: URL, ...args: string[]): Promise<Script<T>>
  stop(): Promise<void>
}

export async function createNamespace (): Promise<Namespace> {
  const holder = startHelper('unshare', ['--net', 'cat'])
  // cat's echo says that the namespace is there
  await holder.ask('')

  const scripts: Array<Script<any>> = []
  const enter = [`--net=/proc/${holder.pid}/ns/net`, '--']
  // a script that still loads its modules can't notice that this process was killed
  const endWithUs = ['setpriv', '--pdeathsig', 'KILL', '--']
  await run('nsenter', [...enter, 'ip', 'link', 'set', 'lo', 'up'])

  return {
    pid: holder.pid,
    commandLine: (command, ...args) => ['nsenter', [...enter, ...endWithUs, command, ...args]],
    run: async (command, ...args) => run('nsenter', [...enter, command, ...args]),
    start: async (url, ...args) => {
      const script = await startScript<any>(url, args, { execPath: 'nsenter', execArgv: [...enter, ...endWithUs, process.execPath] })
      scripts.push(script)

      return script
    },
    stop: async () => {
      await Promise.all(scripts.map(async script => script.stop()))
      await holder.stop()
    }
  }
}
