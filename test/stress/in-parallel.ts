/**
 * Runs `task` for each item, `width` at a time. The results are in order of
 * completion
 */
export async function inParallel <T, R> (width: number, items: Iterable<T>, task: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  // one iterator for all workers: each item is taken once
  const queue = items[Symbol.iterator]()

  const work = async (): Promise<void> => {
    for (let next = queue.next(); next.done !== true; next = queue.next()) {
      results.push(await task(next.value))
    }
  }

  await Promise.all(Array.from({ length: width }, work))

  return results
}
