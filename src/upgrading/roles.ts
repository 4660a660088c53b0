import { dialedSilence, initiatorSilence } from './time-limits.ts'
import type { FromEphemeral } from '../dialing/dialed-from.ts'
import type { MessageStreamDirection } from '@libp2p/interface'

/**
 * Which end of an upgrade speaks first. In a hole punch both ends dial, and the service that
 * coordinates it tells each end its role (libp2p specs, `relay/DCUtR.md`)
 */
export type Role = 'initiator' | 'responder'

/** The rules of a dial. They follow from the role in a hole punch; a plain dial has no role */
export interface DialRules {
  /**
   * The role of this end in the upgrade, written as a direction. The muxer takes its role from
   * the direction of the connection, not from the upgrader's option `initiator`
   */
  readonly direction: MessageStreamDirection

  /**
   * May a dial from an ephemeral port start in parallel? A hole can be punched from one port
   * only, which is the one that the peer was told
   */
  readonly mayRace: boolean

  /** Why the dial must come from an ephemeral port, if it must */
  readonly ephemeral?: FromEphemeral

  /**
   * May the peer dial this end at the same moment, by chance? Then both ends are initiators.
   * The peer's first bytes tell, see `peer-role.ts`
   */
  readonly mayCross: boolean

  /**
   * Was the peer asked to dial this end? Its connection may arrive at a listener of this end
   * instead of meeting this dial, see `expected-peers.ts`
   */
  readonly expectsPeer: boolean

  /**
   * How long this end waits for the peer's first bytes, in ms. If there are none, it is the
   * initiator, else the responder. 0: it does not wait and is the initiator. `connecting` is how
   * long the dial took, in ms
   */
  silence(connecting: number): number

  /**
   * What is sent to the peer when the signal aborts the upgrade. All attempts of a hole punch
   * need the same 4-tuple. After a FIN alone the kernel keeps the 4-tuple until the peer closes
   * its end. After an RST alone a NAT may drop the next SYNs, if the peer sends an RST as well
   */
  readonly abortsWith: 'FIN' | 'FIN and RST'
}

const RULES: Readonly<Record<Role | 'plain', DialRules>> = {
  plain: {
    direction: 'outbound',
    mayRace: true,
    mayCross: true,
    expectsPeer: false,
    silence: () => 0,
    abortsWith: 'FIN'
  },
  initiator: {
    direction: 'outbound',
    mayRace: false,
    mayCross: false,
    expectsPeer: true,
    silence: initiatorSilence,
    abortsWith: 'FIN and RST'
  },
  responder: {
    direction: 'inbound',
    mayRace: false,
    mayCross: false,
    expectsPeer: false,
    silence: dialedSilence,
    abortsWith: 'FIN and RST'
  }
}

/** @param role - none in a plain dial */
export function rulesOf (role?: Role): DialRules {
  return RULES[role ?? 'plain']
}

/** The role, from the boolean option of libp2p's interface */
export function roleOf ({ initiator }: { initiator?: boolean | null }): Role | undefined {
  if (initiator != null) {
    return initiator ? 'initiator' : 'responder'
  }
}
