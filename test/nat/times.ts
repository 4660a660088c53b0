export function median (times: number[]): number | undefined {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)]
}

export function worst (times: number[]): number | undefined {
  return times.length === 0 ? undefined : Math.max(...times)
}

export function inMs (time?: number): string {
  return time == null ? 'never' : `${time} ms`
}
