/** An error shows at most so many characters, to stay readable. No option has a longer name */
const MAX_SHOWN = 50

/** Describes a value without its own methods, as `toString` and `toJSON` may throw */
export function describe (value: unknown): string {
  switch (typeof value) {
    case 'string': return JSON.stringify(shown(value))
    case 'object': return value === null ? 'null' : 'an object'
    case 'function': return 'a function'
    default: return shown(String(value))
  }
}

/** An error stays readable */
export function shown (text: string): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
}
