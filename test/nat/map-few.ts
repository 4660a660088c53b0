/**
 * Like `Promise.all(items.map(fn))`, with so many under way at the same time
 */
export async function mapFew <T, R> (items: T[], concurrency: number, fn: (item: T, i: number) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  let next = 0

  await Promise.all(Array.from({ length: concurrency }, async () => {
    while (next < items.length) {
      const i = next++
      results[i] = await fn(items[i], i)
    }
  }))

  return results
}
