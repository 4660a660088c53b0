import type { NatMapping } from '../../src/index.ts'
import type { NatKind } from '../lab/nat-rules.ts'

/** What becomes of a relayed connection */
export type Outcome = 'direct' | 'relayed'

/** A's NAT, B's NAT, and what is to become of their relayed connection */
export type NatPair = [a: NatKind, b: NatKind, expected: Outcome]

/** What is expected in theory. Roles make no difference to it */
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
 * What a peer is to find out about its NAT, from what four observers tell, and how many
 * addresses it may ask its partner to dial then
 */
export interface Expected {
  mapping: NatMapping
  candidates: number
}

const CONE: Expected = { mapping: 'endpoint-independent', candidates: 1 }
const SYMMETRIC: Expected = { mapping: 'endpoint-dependent', candidates: 3 }

/** The lab has no four observers that IPv6 counts as such */
export const EXPECTED: Record<NatKind, Expected | undefined> = {
  none: CONE,
  'full-cone': CONE,
  'port-restricted': CONE,
  symmetric: SYMMETRIC,
  forwarded: SYMMETRIC,
  counting: { mapping: 'endpoint-dependent', candidates: 8 },
  'firewalled-ipv6': undefined,
  'dual-stack': CONE,
  refusing: CONE,
  hairpin: CONE
}

/** Is this between two NATs that map endpoint-independently? */
export function isConePair (...kinds: string[]): boolean {
  return kinds.every(kind => kind === 'full-cone' || kind === 'port-restricted')
}
