import type { Namespace } from './namespace.ts'

const RULES = `
  table inet counted {
    counter overTcp {}
    chain input {
      type filter hook input priority 0
      meta l4proto tcp counter name overTcp
    }
    chain output {
      type filter hook output priority 0
      meta l4proto tcp counter name overTcp
    }
  }`

/**
 * Has a machine's kernel count what it receives and sends over TCP
 *
 * @returns a function that returns how many bytes it were so far
 */
export async function countTcpBytes (machine: Namespace): Promise<() => Promise<number>> {
  await machine.run('nft', RULES)

  return async () => {
    const counters = await machine.run('nft', 'list', 'counters')

    return Number(/bytes (\d+)/.exec(counters)?.[1])
  }
}
