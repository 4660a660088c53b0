import type { Implementation } from './implementations.ts'

/**
 * What was tried so and so often
 */
export interface Cell {
  theirs: Implementation
  what: string
  of: number
  succeeded: number

  /**
   * Why the others did not succeed
   */
  errors: string[]

  /**
   * What else was seen
   */
  remarks: string[]
}

/**
 * Tries it so often, one after the other
 *
 * @param remarks - invoked at the end
 */
export async function repeat (theirs: Implementation, what: string, of: number, attempt: (n: number) => Promise<void>, remarks: () => Promise<string[]> = async () => []): Promise<Cell> {
  const errors: string[] = []

  for (let n = 0; n < of; n++) {
    await attempt(n).catch((err: Error) => errors.push(err.message))
  }

  return { theirs, what, of, succeeded: of - errors.length, errors, remarks: await remarks() }
}
