import type { Dial } from './dials.ts'
import type { Endpoint } from '../endpoint.ts'

/**
 * Some NATs use another port for each connection, and count: each new connection through the
 * NAT gets the next port, from whatever host and port it comes. So the port of the next
 * connection can be guessed
 */

/** What a dialed peer reports about one connection, from the listening port or any other one */
export interface Flow {
  /** The address at which the peer sees the connection */
  readonly external: Endpoint

  /** When the connection began to open, in ms */
  readonly began: number
}

/** How many flows are compared */
export const MAX_FLOWS = 8

/**
 * How many ports are guessed. Other connections of the NAT use some ports between the last
 * observation and the punch. A peer dials eight addresses in a punch: these, and one more
 */
export const MAX_NEXT = 7

/** Two flows whose ports differ by more than this say nothing about a counter */
const MAX_STEP = 8

/**
 * How long the guess can be used after the last flow, in ms. With two other connections a second,
 * the NAT is two ports further then. The exchange before a punch needs about as much time again
 */
export const FRESH_MS = 1_000

/**
 * The addresses that the next connections from a listening endpoint will probably have. There
 * are none if the NAT does not count
 *
 * @param dials - from the endpoint. They must show that the NAT uses another port for each
 * destination. Else the ports of the flows were chosen by this host, and the NAT kept them
 * @param flows - in the order in which they began
 */
export function nextAddresses (dials: readonly Dial[], flows: readonly Flow[]): Endpoint[] {
  const host = flows.at(-1)?.external.host
  const there = dials.filter(({ external }) => external.host === host)

  if (host == null || !there.some(({ external }) => external.port !== there[0].external.port)) {
    return []
  }

  return nextPorts(flows.filter(({ external }) => external.host === host).map(({ external }) => external.port))
    .map(port => ({ host, port }))
}

/**
 * The ports after the last one, if the ports rise by small steps. At least half of the steps
 * must be small. The others may be large, as dials can be hours apart. The ports of two random
 * connections look like a small step once in 8,000 times
 */
export function nextPorts (ports: readonly number[]): number[] {
  const steps = ports.slice(1).map((port, i) => port - ports[i])
  const small = steps.filter(step => step > 0 && step <= MAX_STEP)

  if (small.length === 0 || small.length * 2 < steps.length) {
    return []
  }

  return Array.from({ length: MAX_NEXT }, (_, i) => ports[ports.length - 1] + 1 + i).filter(port => port < 65_536)
}
