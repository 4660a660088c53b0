export function print (...lines: string[]): void {
  process.stdout.write(lines.map(line => `${line}\n`).join(''))
}
