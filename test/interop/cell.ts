import pMap from 'p-map'

/** What was tried so and so often */
export interface Cell {
  what: string
  of: number
  succeeded: number

  /** Why the others did not succeed */
  errors: string[]

  /** What else was seen */
  remarks: string[]
}

/** After so many failures the rest is not tried */
const ENOUGH = 5

/**
 * Tries it so often, with so many under way at the same time. What else was seen is
 * asked for at the end
 */
export async function repeat (what: string, of: number, attempt: (n: number) => Promise<void>, concurrency: number = 1, remarks: () => Promise<string[]> = async () => []): Promise<Cell> {
  const errors: string[] = []
  let tried = 0

  await pMap(Array(of).keys(), async n => {
    if (errors.length < ENOUGH) {
      tried++
      await attempt(n).catch((err: Error) => errors.push(err.message))
    }
  }, { concurrency })

  return { what, of, succeeded: tried - errors.length, errors, remarks: await remarks() }
}
