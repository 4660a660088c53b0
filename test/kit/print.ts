export function print (...lines: string[]): void {
  process.stdout.write(lines.map(line => `${line}\n`).join(''))
}

export function inMs (time: number = NaN): string {
  return Number.isFinite(time) ? `${Math.round(time)} ms` : 'never'
}
