/**
 * How often each name occurs
 */
export type Counts = Record<string, number>

export function count (names: string[]): Counts {
  const counts: Counts = {}

  for (const name of names) {
    counts[name] = (counts[name] ?? 0) + 1
  }

  return counts
}

export function add <N extends string> (all: Array<Record<N, number>>): Record<N, number> {
  const sum: Counts = {}

  for (const [name, n] of all.flatMap(counts => Object.entries<number>(counts))) {
    sum[name] = (sum[name] ?? 0) + n
  }

  return sum as Record<N, number>
}

export function format (counts: Counts): string {
  return Object.entries(counts).map(([name, n]) => `${n.toLocaleString('en')} ${name}`).sort().join(', ')
}
