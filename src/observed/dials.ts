import { keyOf, sameEndpoint } from '../endpoint.ts'
import { byAgreement } from './votes.ts'
import type { ExternalAddress } from './votes.ts'
import type { Endpoint } from '../endpoint.ts'

/**
 * The last dial from a listening endpoint to an observer. In a list of dials, each observer has
 * one, and the newest dial comes first. Inbound connections are not in the list, so strangers
 * that dial this node have no influence on the rules below
 */
export interface Dial {
  /** The address that the observer reports */
  readonly external: Endpoint

  /** Is the connection open? */
  readonly isOpen: boolean
}

/** How many of the newest dials must agree before an older one counts as false. One may lie */
const LEAST_AGREEING = 2

/**
 * Tells which addresses are false by now, because the network has changed. An address is false
 * if the newest dials all agree on another one. They must be at least `least` dials, and at least
 * as many as the open connections whose peers name the false address: a dead connection is open
 * until somebody notices.
 *
 * Dials that agree on another IP address don't have to agree on the port, as a NAT gives all
 * connections of a host the same IP address (RFC 4787, section 4.1, 'paired'). Dials that show
 * the same IP address have to agree on another port. Else the NAT uses a port for each
 * destination, and nothing has changed. Without a port, only the IP address is compared
 */
export function superseded (dials: readonly Dial[], least: number): (external: { host: string, port?: number }) => boolean {
  const [newest] = dials.map(({ external }) => external)
  const agreeOnHost = countFirst(dials, ({ host }) => host === newest.host)
  const agreeOnPort = countFirst(dials, external => sameEndpoint(external, newest))
  const openOfHost = countOpen(dials, ({ host }) => host)
  const openOfAddress = countOpen(dials, keyOf)

  return ({ host, port }) => {
    if (dials.length === 0 || (host === newest.host && (port ?? newest.port) === newest.port)) {
      return false
    }

    const [agree, open] = host === newest.host && port != null
      ? [agreeOnPort, openOfAddress.get(keyOf({ host, port }))]
      : [agreeOnHost, openOfHost.get(host)]

    return agree >= Math.max(LEAST_AGREEING, least, open ?? 0)
  }
}

/** The dials whose addresses are not false by now */
export function stillTrue (dials: readonly Dial[]): Dial[] {
  const isFalse = superseded(dials, LEAST_AGREEING)

  return dials.filter(({ external }) => !isFalse(external))
}

/**
 * The addresses that are not false by now, in the order in which a peer should try them:
 *
 * 1. The address that the newest dial shows. Right after a change of network only one peer may
 * know the new address.
 * 2. The other addresses that dialed peers name: those with the most open connections, then
 * those with the newest dial.
 * 3. The addresses that only inbound peers name, in the order of {@link byAgreement}.
 */
export function bestFirst (addresses: readonly ExternalAddress[], dials: readonly Dial[]): ExternalAddress[] {
  const current = stillTrue(dials)
  const open = countOpen(current, keyOf)
  // the first of equal keys is set last
  const age = new Map(current.map(({ external }, i): [string, number] => [keyOf(external), i]).reverse())

  return addresses
    .map(address => {
      const key = keyOf(address.external)

      return { ...address, open: open.get(key) ?? 0, age: age.get(key) ?? current.length }
    })
    .filter(({ dialed, age }) => dialed === 0 || age < current.length)
    .sort((a, b) => Number(b.age === 0) - Number(a.age === 0) || b.open - a.open || a.age - b.age || byAgreement(a, b))
}

function countFirst (dials: readonly Dial[], isSame: (external: Endpoint) => boolean): number {
  const other = dials.findIndex(({ external }) => !isSame(external))

  return other === -1 ? dials.length : other
}

function countOpen (dials: readonly Dial[], by: (external: Endpoint) => string): Map<string, number> {
  const counts = new Map<string, number>()

  for (const { external, isOpen } of dials) {
    counts.set(by(external), (counts.get(by(external)) ?? 0) + Number(isOpen))
  }

  return counts
}
