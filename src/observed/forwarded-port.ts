import { stillTrue } from './dials.ts'
import { mappingOf } from './nat-mapping.ts'
import type { Dial } from './dials.ts'
import type { ExternalAddress } from './votes.ts'
import type { Endpoint } from '../endpoint.ts'

/**
 * Where the listening endpoint can be reached if its port is forwarded by a NAT that uses
 * another port for each destination (as pfSense and OPNsense do). Outside, the forwarded port
 * usually has the same number. No dialed peer ever observes this address, as dials from the
 * endpoint leave the NAT from other ports.
 *
 * It is a guess, if enough observers agree on the IP address and not on the port
 *
 * @param local - the listening endpoint
 * @param dials - the newest first
 * @param threshold - how many observers must agree on the IP address
 */
export function forwardedPort (local: Endpoint, dials: readonly Dial[], threshold: number): ExternalAddress | undefined {
  const current = stillTrue(dials)
  const observers = current.filter(({ external }) => external.host === current[0].external.host).length

  if (mappingOf(dials, threshold) === 'endpoint-dependent' && observers >= threshold && observers * 2 > current.length) {
    return { external: { host: current[0].external.host, port: local.port }, observers, dialed: observers }
  }
}
