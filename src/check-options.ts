import { InvalidParametersError } from '@libp2p/interface'
import { closestMatch } from 'leven'
import type { ReuseportTcpInit, ReuseportTcpSettings, TCPSocketOptions } from './options.ts'

/** What the value of an option must be */
export interface Rule {
  /** What follows 'must be' in the error */
  readonly must: string
  isMet(value: unknown): boolean

  /** Must it be given? */
  readonly required?: boolean
}

/** One rule for each option. An option that is an object of options has rules of its own */
export type Rules<Options> = {
  readonly [Name in keyof Required<Options>]: NonNullable<Options[Name]> extends boolean | number | string | ((...args: any[]) => unknown)
    ? Rule
    : Rules<NonNullable<Options[Name]>>
}

/** The largest delay of a timer, in ms. Node makes 1 of what is larger */
const MAX_DELAY_MS = 2 ** 31 - 1

/** No name of an option is that long, and an error should stay readable */
const MAX_SHOWN = 50

export const BOOLEAN: Rule = { must: 'true or false', isMet: value => typeof value === 'boolean' }
export const COUNT: Rule = { must: 'a number from 0', isMet: value => typeof value === 'number' && value >= 0 }
export const DELAY: Rule = { must: `a number of milliseconds from 0 to ${MAX_DELAY_MS}`, isMet: value => isWithin(value, 0, MAX_DELAY_MS) }
export const FUNCTION: Rule = { must: 'a function', isMet: value => typeof value === 'function' }

export function isWithin (value: unknown, min: number, max: number): boolean {
  return typeof value === 'number' && value >= min && value <= max
}

/**
 * Checks options that a user gives. `null` and `undefined` count as not given, whatever the
 * name. Only an object's own enumerable names can be unknown: symbols, and what a class
 * inherits, are not looked at.
 *
 * Each option is read once. What is read is returned, so that nothing that the user does
 * with the object later on changes what was checked. Options that are not given are left out.
 *
 * @param options - what the user gives
 * @param rules - what there is
 * @param path - what it is called in errors
 * @throws {InvalidParametersError} that names the option at fault
 */
export function checkOptions <Options extends object> (options: Options, rules: Rules<Options>, path: string = 'options'): Options {
  if (options == null || typeof options !== 'object') {
    throw new InvalidParametersError(`${path} must be an object, not ${describe(options)}`)
  }

  const checked: Record<string, unknown> = {}

  for (const name of read(path, () => Object.keys(options))) {
    if (!Object.hasOwn(rules, name) && valueOf(options, name, path) != null) {
      throw new InvalidParametersError(unknownOption(name, Object.keys(rules), path))
    }
  }

  for (const [name, rule] of Object.entries<Rule | Rules<any>>(rules)) {
    const value = valueOf(options, name, path)

    if (value == null && rule.required !== true) {
      continue
    }

    checked[name] = isRule(rule) ? checkValue(value, rule, `${path}.${name}`) : checkOptions(value as object, rule, `${path}.${name}`)
  }

  return checked as Options
}

function isRule (rule: Rule | Rules<any>): rule is Rule {
  return typeof rule.isMet === 'function'
}

function checkValue (value: unknown, { must, isMet }: Rule, path: string): unknown {
  if (!isMet(value)) {
    throw new InvalidParametersError(`${path} must be ${must}, not ${describe(value)}`)
  }

  return value
}

function valueOf (options: object, name: string, path: string): unknown {
  return read(`${path}.${shown(name)}`, () => (options as Record<string, unknown>)[name])
}

/** A getter, or a Proxy, may throw anything */
function read <T> (path: string, get: () => T): T {
  try {
    return get()
  } catch (cause) {
    throw Object.assign(new InvalidParametersError(`${path} must be readable`), { cause })
  }
}

function unknownOption (name: string, known: string[], path: string): string {
  const byLowerCase = new Map(known.map(known => [known.toLowerCase(), known]))
  const closest = closestMatch(shown(name).toLowerCase(), [...byLowerCase.keys()], { maxDistance: Math.floor(name.length / 3) })
  const hint = closest == null ? `There are ${known.join(', ')}` : `Did you mean ${byLowerCase.get(closest)}?`

  return `${path} has no option ${describe(name)}. ${hint}`
}

/** Calls nothing that comes with the value: its `toString` or `toJSON` may throw */
function describe (value: unknown): string {
  switch (typeof value) {
    case 'string': return JSON.stringify(shown(value))
    case 'object': return value === null ? 'null' : 'an object'
    case 'function': return 'a function'
    default: return shown(String(value))
  }
}

function shown (text: string): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
}

const SOCKET_RULES: Rules<TCPSocketOptions> = {
  noDelay: BOOLEAN,
  keepAlive: BOOLEAN,
  keepAliveInitialDelay: DELAY,
  allowHalfOpen: BOOLEAN
}

const RULES: Rules<ReuseportTcpInit> = {
  reusePort: BOOLEAN,
  sharePort: BOOLEAN,
  reusePortTimeout: { must: `${DELAY.must}, or Infinity`, isMet: value => value === Infinity || DELAY.isMet(value) },
  observedAddressThreshold: { must: 'a number from 1', isMet: value => isWithin(value, 1, Infinity) },
  inboundSocketInactivityTimeout: DELAY,
  outboundSocketInactivityTimeout: DELAY,
  maxConnections: COUNT,
  // an int for listen(2), to which Node passes on the lowest 32 bits: 0 for Infinity
  backlog: { must: 'an integer from 0 to 2147483647', isMet: value => Number.isInteger(value) && isWithin(value, 0, 2 ** 31 - 1) },
  closeServerOnMaxConnections: {
    listenBelow: { ...COUNT, required: true },
    closeAbove: { ...COUNT, required: true },
    onListenError: FUNCTION
  },
  dialOpts: SOCKET_RULES,
  listenOpts: SOCKET_RULES
}

/**
 * Checks the options of the transport, once. Those of a dial or of a listener are left to
 * TypeScript: libp2p passes on its own ones with them
 *
 * @returns the options that were given
 * @throws {InvalidParametersError} that names the option at fault
 */
export function checkInit (init: ReuseportTcpInit): ReuseportTcpInit {
  const checked = checkOptions(init, RULES)
  const { closeAbove, listenBelow } = checked.closeServerOnMaxConnections ?? { closeAbove: 0, listenBelow: 0 }

  if (closeAbove < listenBelow) {
    throw new InvalidParametersError(`options.closeServerOnMaxConnections.closeAbove (${closeAbove}) must not be less than listenBelow (${listenBelow})`)
  }

  return checked
}

export function initWithDefaults (init: ReuseportTcpInit): ReuseportTcpSettings {
  return {
    reusePort: init.reusePort ?? true,
    sharePort: init.sharePort ?? undefined,
    reusePortTimeout: init.reusePortTimeout ?? 1_250,
    observedAddressThreshold: init.observedAddressThreshold ?? 4,
    inboundSocketInactivityTimeout: init.inboundSocketInactivityTimeout ?? 120_000,
    outboundSocketInactivityTimeout: init.outboundSocketInactivityTimeout ?? 120_000,
    maxConnections: init.maxConnections ?? Infinity,
    backlog: init.backlog ?? 511,
    closeServerOnMaxConnections: init.closeServerOnMaxConnections ?? undefined,
    dialOpts: init.dialOpts ?? {},
    listenOpts: init.listenOpts ?? {}
  }
}

/**
 * The options of one socket: its own, else those of the transport, else the
 * defaults
 */
export function withDefaults (forAll: TCPSocketOptions, forThis: TCPSocketOptions): Required<TCPSocketOptions> {
  return {
    noDelay: forThis.noDelay ?? forAll.noDelay ?? true,
    keepAlive: forThis.keepAlive ?? forAll.keepAlive ?? true,
    keepAliveInitialDelay: forThis.keepAliveInitialDelay ?? forAll.keepAliveInitialDelay ?? 0,
    allowHalfOpen: forThis.allowHalfOpen ?? forAll.allowHalfOpen ?? false
  }
}
