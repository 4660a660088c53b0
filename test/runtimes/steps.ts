import { portOf } from '../../examples/ports/node.ts'
import { within } from '../stress/within.ts'
import { LISTENING_PORT, OTHER_PORT, WORKS } from './outcomes.ts'
import type { Outcomes } from './outcomes.ts'
import type { SourcePort } from '../../src/index.ts'
import type { Multiaddr } from '@multiformats/multiaddr'

/**
 * How long a step may take, in ms
 */
const LIMIT = 2_000

/**
 * Of the steps that were taken
 */
export const outcomes: Outcomes = {}

/**
 * What went wrong, in full
 */
export const errors: string[] = []

/**
 * Takes a step. What it returns or throws is its outcome, and the next one is
 * taken in either case
 */
export async function step (name: string, action: () => Promise<string | void>): Promise<void> {
  try {
    outcomes[name] = await within(LIMIT, action(), 'it') ?? WORKS
  } catch (err: any) {
    outcomes[name] = err.code ?? err.message
    errors.push(`${name}: ${err.stack}`)
  }
}

/**
 * Which port the peer saw
 *
 * @throws {Error} if the transport says something else
 */
export function whichPort (seen: number, listening: number, { localAddr, reason }: SourcePort): string {
  const said = localAddr == null ? undefined : portNumber(localAddr)

  if (said !== seen || (reason === 'ephemeral') !== (seen !== listening)) {
    throw new Error(`${seen}, while the transport says ${said}, ${reason}`)
  }

  return seen === listening ? LISTENING_PORT : OTHER_PORT
}

export function portNumber (ma: Multiaddr): number {
  return Number(portOf(ma))
}
