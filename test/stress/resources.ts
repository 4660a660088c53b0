import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'

/** How often each name occurs */
export type Counts = Record<string, number>

/** How long closed connections may take to give everything back, in ms */
const SETTLE_LIMIT = 5_000

let before: Counts = {}

// too many listeners, for instance
process.on('warning', warning => { throw warning })

export function count (names: string[]): Counts {
  const counts: Counts = {}

  for (const name of names) {
    counts[name] = (counts[name] ?? 0) + 1
  }

  return counts
}

/** What is opened from now on must not be left over */
export function startWatching (): void {
  before = openResources()
}

/** What keeps this process running, by kind, and its open sockets, as the kernel counts them */
function openResources (): Counts {
  // is opened by its first use, which may be by node:net when a socket closes
  process.stderr.write('')

  return count([...process.getActiveResourcesInfo(), ...readdirSync('/proc/self/fd').filter(isSocket).map(() => 'socket descriptor')])
}

function isSocket (fd: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:')
  } catch {
    // the descriptor that the directory itself was read with
    return false
  }
}

export function newResources (): Counts {
  return Object.fromEntries(Object.entries(openResources()).map(([kind, n]) => [kind, n - (before[kind] ?? 0)] as const).filter(([, n]) => n > 0))
}

/** Waits until nothing is open that was not open before. Returns what is still open */
export async function leftOver (): Promise<Counts> {
  const deadline = performance.now() + SETTLE_LIMIT

  while (true) {
    // the timer that is waited with must not be among the open resources
    await turn()
    const left = newResources()

    if (Object.keys(left).length === 0 || performance.now() > deadline) {
      return left
    }

    await delay(50)
  }
}

/** In MB, after garbage collection. Needs `--expose-gc` */
export async function usedMemory (): Promise<number> {
  // what a finalizer releases is collected by the next one
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.()
    await delay(20)
  }

  const { heapUsed, arrayBuffers } = process.memoryUsage()

  return (heapUsed + arrayBuffers) / 1e6
}

/** What `ulimit -n` says */
export function openFilesLimit (): number {
  return Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf-8'))?.[1] ?? Infinity)
}
