import { print } from '../../test/kit/print.ts'

/**
 * Prints what a machine does, and when: in ms since `start`. All processes of the demo
 * write to the same terminal
 */
export function storyteller (who: string, start: number): (what: string) => void {
  return what => { print(`${`${Date.now() - start}`.padStart(6)} ms  ${who.padEnd(1)}  ${what}`) }
}
