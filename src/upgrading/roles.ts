import { dialedSilence } from './time-limits.ts'
import type { FromEphemeral } from '../dialing/dialed-from.ts'
import type { MessageStreamDirection } from '@libp2p/interface'

/**
 * Which end of an upgrade speaks first. In a hole punch both ends dial, and the service that
 * coordinates it tells each end its role (libp2p specs, `relay/DCUtR.md`)
 */
export type Role = 'initiator' | 'responder'

/** What follows from the role that a hole punch gives this end, or from none in a plain dial */
export interface DialRules {
  /**
   * The role of this end in the upgrade, said as direction: the muxer takes its role from
   * the direction of the connection, not from what the upgrader is told
   */
  readonly direction: MessageStreamDirection

  /**
   * May a dial from an ephemeral port start beside it? A hole can be punched from one port
   * only: the one that the peer was told
   */
  readonly mayRace: boolean

  /** Why it has to come from an ephemeral port, if it does */
  readonly ephemeral?: FromEphemeral

  /**
   * May the peer, who knows nothing of this dial, happen to dial us at the same moment? Then
   * both ends are initiators, and the peer's first bytes tell, see `peer-role.ts`
   */
  readonly mayCross: boolean

  /**
   * Is the peer told to dial us as well? Its connection may arrive at a listener of ours
   * instead of meeting this dial, see `expected-peers.ts`
   */
  readonly expectsPeer: boolean

  /**
   * How long the peer may be silent before this end takes the role of the initiator, in ms,
   * given how many ms the dial took. Only who is not the initiator waits
   */
  silence?(connecting: number): number

  /**
   * What the peer gets when the signal aborts the upgrade. All attempts of a hole punch need
   * the same 4-tuple: after a FIN the kernel keeps it until the peer closes its end, after an
   * RST it is free at once
   */
  readonly abortsWith: 'FIN' | 'RST'
}

const RULES: Readonly<Record<Role | 'plain', DialRules>> = {
  plain: {
    direction: 'outbound',
    mayRace: true,
    mayCross: true,
    expectsPeer: false,
    abortsWith: 'FIN'
  },
  initiator: {
    direction: 'outbound',
    mayRace: false,
    mayCross: false,
    expectsPeer: true,
    abortsWith: 'RST'
  },
  responder: {
    direction: 'inbound',
    mayRace: false,
    mayCross: false,
    expectsPeer: false,
    silence: dialedSilence,
    abortsWith: 'RST'
  }
}

/** @param role - none in a plain dial */
export function rulesOf (role?: Role): DialRules {
  return RULES[role ?? 'plain']
}

/** What libp2p's interface says by a boolean */
export function roleOf ({ initiator }: { initiator?: boolean | null }): Role | undefined {
  if (initiator != null) {
    return initiator ? 'initiator' : 'responder'
  }
}
