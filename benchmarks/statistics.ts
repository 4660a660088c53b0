export function median (values: number[]): number {
  return quantile(values, 0.5)
}

/**
 * Between two of the values it is interpolated
 */
export function quantile (values: number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const position = p * (sorted.length - 1)
  const [below, above] = [sorted[Math.floor(position)], sorted[Math.ceil(position)]]

  return below + (above - below) * (position % 1)
}
