import { execa } from 'execa'
import { startHelper, startScript } from '../kit/processes.ts'
import type { Script } from '../kit/processes.ts'
import type { Functions } from '../kit/serve.ts'

/** How long a command may take, in ms */
const TIMEOUT = 10_000

/** How long a script may take to answer, in ms: three hole punches of ten seconds, for example */
const ANSWER_LIMIT = 60_000

/**
 * A network namespace: a machine, as far as the network is concerned. It has no
 * name in the file system, so it is gone as soon as no process is in it
 */
export interface Namespace {
  /** Of a process in it */
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

  /** Starts a script in it */
  start<F extends Functions>(script: URL, ...args: string[]): Script<F>
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
  const run = async (...command: string[]): Promise<string> => (await execa('nsenter', [...enter, ...command], { timeout: TIMEOUT })).stdout
  await run('ip', 'link', 'set', 'lo', 'up')

  return {
    pid: holder.pid,
    commandLine: (command, ...args) => ['nsenter', [...enter, ...endWithUs, command, ...args]],
    run,
    start: (url, ...args) => {
      const script = startScript<any>(url, args, { limit: ANSWER_LIMIT, execPath: 'nsenter', execArgv: [...enter, ...endWithUs, process.execPath] })
      scripts.push(script)

      return script
    },
    stop: async () => {
      await Promise.all(scripts.map(async script => script.stop()))
      await holder.stop()
    }
  }
}
