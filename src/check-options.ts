import { InvalidParametersError } from '@libp2p/interface'
import { closestMatch } from 'leven'
import { describe, shown } from './describe.ts'
import type { ConnectOptions, ReuseportTcpInit, ReuseportTcpSettings, TCPSocketOptions } from './options.ts'
import type { ComponentLogger } from '@libp2p/interface'

/** What the value of an option must be */
export interface Rule {
  /** The text after 'must be' in the error */
  readonly must: string
  isMet(value: unknown): boolean

  /** Must the option be given? */
  readonly required?: boolean
}

/** One rule for each option. An option that is an object of options has its own rules */
export type Rules<Options> = {
  readonly [Name in keyof Required<Options>]: NonNullable<Options[Name]> extends boolean | number | string | ((...args: any[]) => unknown)
    ? Rule
    : Rules<NonNullable<Options[Name]>>
}

/** The largest delay of a timer, in ms. Node replaces a larger one by 1 ms */
const MAX_DELAY_MS = 2 ** 31 - 1

export const BOOLEAN: Rule = { must: 'true or false', isMet: value => typeof value === 'boolean' }
export const COUNT: Rule = { must: 'a number from 0', isMet: value => typeof value === 'number' && value >= 0 }
export const DELAY: Rule = { must: `a number of milliseconds from 0 to ${MAX_DELAY_MS}`, isMet: value => isWithin(value, 0, MAX_DELAY_MS) }
export const FUNCTION: Rule = { must: 'a function', isMet: value => typeof value === 'function' }

export function isWithin (value: unknown, min: number, max: number): boolean {
  return typeof value === 'number' && value >= min && value <= max
}

/**
 * Checks the options of a user. An option that is `null` or `undefined` counts as not given, even
 * if its name is unknown. Only an object's own enumerable names are checked for unknown options.
 * Symbols and inherited names are not.
 *
 * Each option is read once, and the result has the values that were read. So later changes to
 * the user's object have no effect. Options that are not given are left out of the result.
 *
 * @param options - the user's options
 * @param rules - the options that exist, with their rules
 * @param path - the name of `options` in errors
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

/**
 * `transports: [reuseportTcp]` lacks the call. libp2p then calls `reuseportTcp` with its own
 * components instead of options
 *
 * @param init - the options
 * @param factory - the name of the function that got them
 * @throws {InvalidParametersError} that shows the call
 */
export function checkIsCalled (init: object, factory: string): void {
  const logger = init == null ? undefined : valueOf(init, 'logger', 'options') as Partial<ComponentLogger> | undefined

  if (typeof logger?.forComponent === 'function') {
    throw new InvalidParametersError(`${factory} got the components of libp2p instead of options. Write ${factory}() instead of ${factory}`)
  }
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

/** Reads from a user's object. A getter or a Proxy may throw anything */
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
  const others = known.length === 0 ? 'There are none' : `There are ${known.join(', ')}`
  const hint = closest == null ? others : `Did you mean ${byLowerCase.get(closest)}?`

  return `${path} has no option ${describe(name)}. ${hint}`
}

const SOCKET_RULES: Record<keyof TCPSocketOptions, Rule> = {
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
  // Node passes only the lowest 32 bits to listen(2), which takes an int. Infinity would be 0
  backlog: { must: 'an integer from 0 to 2147483647', isMet: value => Number.isInteger(value) && isWithin(value, 0, 2 ** 31 - 1) },
  closeServerOnMaxConnections: {
    listenBelow: { ...COUNT, required: true },
    closeAbove: { ...COUNT, required: true },
    onListenError: FUNCTION
  },
  portReuse: FUNCTION,
  dialOpts: SOCKET_RULES,
  listenOpts: SOCKET_RULES
}

const DIAL_RULES: Record<keyof ConnectOptions, Rule> = {
  ...SOCKET_RULES,
  reusePort: { must: "true, false or 'require'", isMet: value => value === 'require' || BOOLEAN.isMet(value) },
  initiator: BOOLEAN,
  onProgress: FUNCTION,
  signal: { must: 'an AbortSignal', isMet: value => value instanceof AbortSignal }
}

/**
 * Checks the options of one dial. Unknown ones are no error, because libp2p adds its own
 *
 * @throws {InvalidParametersError} that names the option at fault
 */
export function checkDial (options: ConnectOptions): void {
  checkKnown(options, DIAL_RULES)
}

/** The same for the options of one listener */
export function checkListener (options: TCPSocketOptions): void {
  checkKnown(options, SOCKET_RULES)
}

function checkKnown <Options extends object> (options: Options, rules: Record<keyof Options, Rule>): void {
  for (const name in rules) {
    if (options[name] != null) {
      checkValue(options[name], rules[name], `options.${name}`)
    }
  }
}

/**
 * Checks the options of the transport
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
    portReuse: init.portReuse ?? undefined,
    dialOpts: init.dialOpts ?? {},
    listenOpts: init.listenOpts ?? {}
  }
}

/**
 * The options of one socket. An option that the socket does not have comes from the transport,
 * or else from the defaults
 */
export function withDefaults (forAll: TCPSocketOptions, forThis: TCPSocketOptions): Required<TCPSocketOptions> {
  return {
    noDelay: forThis.noDelay ?? forAll.noDelay ?? true,
    keepAlive: forThis.keepAlive ?? forAll.keepAlive ?? true,
    keepAliveInitialDelay: forThis.keepAliveInitialDelay ?? forAll.keepAliveInitialDelay ?? 0,
    allowHalfOpen: forThis.allowHalfOpen ?? forAll.allowHalfOpen ?? false
  }
}
