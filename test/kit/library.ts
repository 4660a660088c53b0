import { execFileSync } from 'node:child_process'
import path from 'node:path'

/**
 * Compiles a library that changes what the kernel answers to a process
 *
 * @param source - the C file
 * @param directory - where the library is to be
 * @returns its path, for LD_PRELOAD
 */
export function compileLibrary (source: string, directory: string): string {
  const library = path.join(directory, `${path.basename(source, '.c')}.so`)
  execFileSync('cc', ['-Wall', '-Wextra', '-Werror', '-O1', '-shared', '-fPIC', '-o', library, source], { stdio: 'inherit' })

  return library
}
