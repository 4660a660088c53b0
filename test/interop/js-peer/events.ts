export function tell (event: Record<string, unknown> & { event: string }): void {
  process.stdout.write(`${JSON.stringify(event)}\n`)
}
