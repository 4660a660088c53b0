import os from 'node:os'
import path from 'node:path'
import { execa } from 'execa'

/** The command line of each peer program */
export const IMPLEMENTATIONS = {
  js: [process.execPath, folder('js-peer/index.ts')],
  '@libp2p/tcp': [process.execPath, folder('js-peer/index.ts'), '--transport', '@libp2p/tcp'],
  go: [cached('go-peer')],
  rust: [cached('rust-target/release/rust-peer')]
}

export type Implementation = keyof typeof IMPLEMENTATIONS

/** Does js-peer run it? */
export function isJs (implementation: Implementation): boolean {
  return IMPLEMENTATIONS[implementation][0] === process.execPath
}

/** In ms. A first build of rust-libp2p takes minutes */
const TIMEOUT = 30 * 60_000

const BUILDS: Record<Implementation, string[] | undefined> = {
  js: undefined,
  '@libp2p/tcp': undefined,
  go: ['go', 'build', '-C', folder('go-peer'), '-o', cached('go-peer'), '.'],
  rust: ['cargo', 'build', '--quiet', '--release', '--locked', '--manifest-path', folder('rust-peer/Cargo.toml'), '--target-dir', cached('rust-target')]
}

/**
 * Builds a peer, or sees that it is up to date. What is built is kept outside the
 * clone
 *
 * @throws {Error} if there is no `go` or `cargo`, or the build fails
 */
export async function build (implementation: Implementation): Promise<void> {
  const [command, ...args] = BUILDS[implementation] ?? []

  if (command == null) {
    return
  }

  try {
    await execa(command, args, { timeout: TIMEOUT })
  } catch (err: any) {
    throw new Error(err.code === 'ENOENT' ? `The ${implementation} peer needs '${command}', which is not here` : `The ${implementation} peer could not be built: ${err.stderr ?? err.message}`)
  }
}

function folder (name: string): string {
  return path.join(import.meta.dirname, name)
}

function cached (name: string): string {
  return path.join(os.homedir(), '.cache', 'libp2p-reuseport-tcp', name)
}
