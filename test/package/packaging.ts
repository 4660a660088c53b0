import { run } from './run.ts'
import type { Package } from './package.ts'

/**
 * `exports` can say what to use in browsers for an entry point, not for a module behind
 * it, so `browser` does, as in js-libp2p's own transports
 */
const DECLINED = 'pkg.browser with an object value can be refactored'

/**
 * @throws {Error} with the errors, the warnings and the suggestions of publint
 */
export async function exportsAreSound ({ tarball, project }: Package): Promise<void> {
  const output = await run('publint', ['run', '--strict', tarball], { cwd: project })
  const messages = output.split('\n').filter(line => /^\d+\. /.test(line) && !line.includes(DECLINED))

  if (messages.length > 0) {
    throw new Error(messages.join('\n'))
  }
}

/**
 * The profile leaves out two findings that are none here. TypeScript's node10 resolution
 * knows no `exports`, so it does not find the second entry point; js-libp2p does not
 * support it either. And `require` of an ES module is an error to attw, but works in
 * every Node that `engines` allows; two other steps do it, in Node and in TypeScript.
 *
 * @throws {CommandError} with what attw found
 */
export async function typesAreSound ({ tarball, project }: Package): Promise<void> {
  await run('attw', ['--profile', 'esm-only', '--no-definitely-typed', '--no-emoji', '--no-color', tarball], { cwd: project })
}
