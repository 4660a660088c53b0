import type { NatMapping } from '../../src/index.ts'
import type { NatKind } from '../lab/nat-rules.ts'

export type Outcome = 'direct' | 'relayed'

/**
 * A's NAT, B's NAT, and what is to become of their relayed connection
 */
export type NatPair = [a: NatKind, b: NatKind, expected: Outcome]

/**
 * What is expected in theory. Roles make no difference to it
 */
export const NAT_PAIRS: NatPair[] = [
  // one of them can be dialed by anybody: it has no NAT, or one whose filter lets
  // everybody in (RFC 4787, section 5, "endpoint-independent filtering"). So the
  // other one's dial arrives, whatever it comes from (RFC 5128, section 3.2,
  // "connection reversal")
  ['none', 'none', 'direct'],
  ['none', 'full-cone', 'direct'],
  ['none', 'port-restricted', 'direct'],
  ['none', 'symmetric', 'direct'],
  ['full-cone', 'none', 'direct'],
  ['full-cone', 'full-cone', 'direct'],
  ['full-cone', 'port-restricted', 'direct'],
  ['full-cone', 'symmetric', 'direct'],
  ['port-restricted', 'none', 'direct'],
  ['port-restricted', 'full-cone', 'direct'],
  ['symmetric', 'none', 'direct'],
  ['symmetric', 'full-cone', 'direct'],

  // both have the same endpoint towards everybody, so each knows the other's, and
  // its own SYN opens its filter to the other's (RFC 5128, section 3.4, "TCP hole
  // punching"; RFC 5382, REQ-2: NATs must support simultaneous opens)
  ['port-restricted', 'port-restricted', 'direct'],

  // towards the other peer the symmetric one has an endpoint that nobody can know
  // (RFC 4787, section 4.1, "address and port-dependent mapping"), so the other's
  // filter drops what comes from there
  ['port-restricted', 'symmetric', 'relayed'],
  ['symmetric', 'port-restricted', 'relayed'],
  ['symmetric', 'symmetric', 'relayed'],

  // as behind port-restricted NATs, but the endpoints need not be found out
  ['firewalled-ipv6', 'firewalled-ipv6', 'direct']
]

/**
 * What a peer is to find out about its NAT, from what four observers tell. The lab
 * has no four observers that IPv6 counts as such
 */
export const EXPECTED_MAPPING: Record<NatKind, NatMapping | undefined> = {
  none: 'endpoint-independent',
  'full-cone': 'endpoint-independent',
  'port-restricted': 'endpoint-independent',
  symmetric: 'endpoint-dependent',
  forwarded: 'endpoint-dependent',
  counting: 'endpoint-dependent',
  'firewalled-ipv6': undefined,
  'dual-stack': 'endpoint-independent',
  refusing: 'endpoint-independent',
  hairpin: 'endpoint-independent'
}

/**
 * Is this between two NATs that map endpoint-independently?
 */
export function isConePair (...kinds: NatKind[]): boolean {
  return kinds.every(kind => kind === 'full-cone' || kind === 'port-restricted')
}
