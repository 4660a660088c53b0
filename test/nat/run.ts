import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/**
 * Runs a command and returns what it printed
 *
 * @throws {Error} with what it printed to stderr, if it fails
 */
export async function run (command: string, args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, { timeout: 10_000 })

  return stdout
}
