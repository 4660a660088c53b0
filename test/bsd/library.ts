import { execFileSync } from 'node:child_process'
import path from 'node:path'

/**
 * Compiles the library that gives a process xnu's rules
 *
 * @param directory - where it is to be
 * @returns the environment that a process must have to be under these rules
 */
export function compileRules (directory: string): NodeJS.ProcessEnv {
  const library = path.join(directory, 'bsd-bind-rules.so')
  const source = path.join(import.meta.dirname, 'bsd-bind-rules.c')
  execFileSync('cc', ['-Wall', '-Wextra', '-Werror', '-O1', '-shared', '-fPIC', '-o', library, source], { stdio: 'inherit' })

  return { ...process.env, LD_PRELOAD: library }
}
