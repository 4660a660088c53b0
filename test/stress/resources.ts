import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { add, count } from './counting.ts'
import type { Counts } from './counting.ts'

/**
 * How long closed connections may take to give everything back, in ms
 */
const SETTLE_LIMIT = 5_000

const before: Counts = {}

/**
 * What is opened from now on must not be left over
 */
export function startWatching (): void {
  Object.assign(before, openResources())
}

/**
 * What keeps this process running, by kind, and its open sockets, as the kernel
 * counts them
 */
function openResources (): Counts {
  // is opened by its first use, which may be by node:net when a socket closes
  process.stderr.write('')

  return add([
    count(process.getActiveResourcesInfo()),
    { 'socket descriptor': countSocketDescriptors() }
  ])
}

/**
 * Waits until nothing is open that was not open before
 *
 * @returns what is still open
 */
export async function leftOver (): Promise<Counts> {
  const deadline = performance.now() + SETTLE_LIMIT

  while (true) {
    // the timer that we wait with must not be among the open resources
    await new Promise(resolve => { setImmediate(resolve) })

    const left = Object.entries(openResources())
      .map(([kind, n]) => [kind, n - (before[kind] ?? 0)] as const)
      .filter(([, n]) => n > 0)

    if (left.length === 0 || performance.now() > deadline) {
      return Object.fromEntries(left)
    }

    await delay(50)
  }
}

/**
 * In bytes, after garbage collection. Needs `--expose-gc`
 */
export async function usedMemory (): Promise<number> {
  // what a finalizer releases is collected by the next one
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.()
    await delay(20)
  }

  const { heapUsed, arrayBuffers } = process.memoryUsage()

  return heapUsed + arrayBuffers
}

/**
 * What `ulimit -n` says
 */
export function openFilesLimit (): number {
  return Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf-8'))?.[1] ?? Infinity)
}

function countSocketDescriptors (): number {
  return readdirSync('/proc/self/fd').filter(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:')
    } catch {
      // the descriptor that the directory itself was read with
      return false
    }
  }).length
}
