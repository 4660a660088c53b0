import { InvalidParametersError } from '@libp2p/interface'

/**
 * Says what is wrong with a value, or nothing
 */
interface Check {
  (value: unknown): string | undefined
}

/**
 * What each option must be. An option that is `undefined` or `null` has its default
 */
export interface Checks {
  [option: string]: Check
}

/**
 * @throws {InvalidParametersError} that names the option at fault and its value
 */
export function checkOptions (options: unknown, check: Check): void {
  const problem = check(options)

  if (problem != null) {
    throw new InvalidParametersError(`options${problem}`)
  }
}

/**
 * An object, each known property of which is as it must be
 */
export function isObject (checks: Checks, required: string[] = []): Check {
  const properties = Object.entries(checks)

  return value => {
    if (value == null || typeof value !== 'object') {
      return ` must be an object, not ${show(value)}`
    }

    for (const [name, check] of properties) {
      const property: unknown = Reflect.get(value, name)
      const problem = property == null && !required.includes(name) ? undefined : check(property)

      if (problem != null) {
        return `.${name}${problem}`
      }
    }
  }
}

export const isBoolean: Check = value => {
  return typeof value === 'boolean' ? undefined : ` must be true or false, not ${show(value)}`
}

export const isFunction: Check = value => {
  return typeof value === 'function' ? undefined : ` must be a function, not ${show(value)}`
}

export const isSignal: Check = value => {
  return value instanceof AbortSignal ? undefined : ` must be an AbortSignal, not ${show(value)}`
}

/**
 * The largest delay of a timer, in ms. Node makes 1 of what is larger
 */
const MAX_DELAY = 2 ** 31 - 1

/**
 * For what a timer waits
 */
export const isDelay: Check = value => {
  return isNumberFrom0(value) && value <= MAX_DELAY ? undefined : ` must be a number of milliseconds from 0 to ${MAX_DELAY}, not ${show(value)}`
}

/**
 * Like {@link isDelay}, or never
 */
export const isDelayOrInfinity: Check = value => value === Infinity ? undefined : isDelay(value)

export const isCount: Check = value => {
  return isNumberFrom0(value) ? undefined : ` must be a number from 0, not ${show(value)}`
}

export const isCountFrom1: Check = value => {
  return isNumberFrom0(value) && value >= 1 ? undefined : ` must be a number from 1, not ${show(value)}`
}

function isNumberFrom0 (value: unknown): value is number {
  return typeof value === 'number' && value >= 0
}

function show (value: unknown): string {
  if (typeof value === 'string') {
    return JSON.stringify(value)
  }

  // String() throws for objects without a prototype
  return value != null && typeof value === 'object' ? 'an object' : String(value)
}
