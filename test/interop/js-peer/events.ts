/** Unix time in ms, finer than `Date.now()`. Processes on the same machine have the same clock */
export function now (): number {
  return performance.timeOrigin + performance.now()
}

export function tell (event: Record<string, unknown> & { event: string }): void {
  process.stdout.write(`${JSON.stringify({ ...event, time: now() })}\n`)
}
