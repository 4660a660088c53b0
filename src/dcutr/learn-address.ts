import { tryGetNetConfig } from '@libp2p/utils'
import { TCP } from '@multiformats/multiaddr-matcher'
import { pEvent } from 'p-event'
import { withSignals } from '../abort.ts'
import { familyOf, isLoopback, isPublic } from '../endpoint.ts'
import { ADDRESS_LEARNING_MS } from '../upgrading/time-limits.ts'
import { isDirect } from './connections.ts'
import type { Family } from '../endpoint.ts'
import type { DCUtRServiceComponents } from '@libp2p/dcutr'
import type { Connection, IdentifyResult, Libp2pEvents, Logger, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { TypedEventTarget } from 'main-event'

/** The shortest time between the starts of two attempts for the same family, in ms */
const RETRY_AFTER_MS = 30_000

/** How many peers are asked in one attempt */
const MAX_ASKED = 2

export interface LearningDialOptions {
  signal: AbortSignal
  reusePort: 'require' | false
}

export interface AddressLearnerInit {
  components: Pick<DCUtRServiceComponents, 'connectionManager' | 'peerStore' | 'transportManager'> & { events: TypedEventTarget<Libp2pEvents> }
  log: Logger

  /**
   * Is there a listening endpoint of this family whose external address is known? A peer that
   * was dialed from the endpoint must have told it, and the NAT must be expected to still have
   * this mapping
   */
  isKnown(family: Family): boolean

  /**
   * Does the NAT give each new connection the next port? Then a dial from any port shows which
   * one is next. It must not come from the listening port: this node may already have a
   * connection from there to the peer
   */
  isCounting(family: Family): boolean

  /**
   * Dials one of the addresses from the listening port, or from an ephemeral port
   *
   * @throws {Error} if the dial fails, or if none of the addresses may be dialed
   */
  dial(peer: PeerId, multiaddrs: Multiaddr[], options: LearningDialOptions): Promise<Connection>
  onResult(result: 'address_learned' | 'address_not_learned'): void
}

/**
 * Finds out at which address peers see the listening endpoints. This is needed before a hole
 * punch if no peer has told the address yet, or if the NAT may have forgotten the mapping. The
 * learner dials the relay, or another connected public peer, once more from the listening port.
 * It waits for the peer's identify message, which has the address, and closes the connection.
 *
 * If the NAT counts, this is needed right before each punch
 */
export class AddressLearner {
  readonly #init: AddressLearnerInit
  readonly #attempts = new Map<Family, { readonly done: Promise<void>, readonly started: number, readonly signal: AbortSignal }>()

  constructor (init: AddressLearnerInit) {
    this.#init = init
  }

  /**
   * Resolves when the addresses are known, or when all attempts have failed. Never rejects
   *
   * @param relayed - the connection over which the hole punch is coordinated
   * @param signal - ends the attempt, also for others that wait for the same attempt
   */
  async learn (relayed: Connection, signal: AbortSignal): Promise<void> {
    const { components, isKnown } = this.#init
    const families = new Set(components.transportManager.getAddrs().map(familyToLearn))

    await Promise.all(([4, 6] as const).map(async family => {
      if (families.has(family) && !isKnown(family)) {
        await this.#attempt(family, relayed, signal)
      }
    }))
  }

  async #attempt (family: Family, relayed: Connection, signal: AbortSignal): Promise<void> {
    const last = this.#attempts.get(family)

    // an aborted attempt has found out nothing, so it does not count
    if (last != null && !last.signal.aborted && Date.now() - last.started < RETRY_AFTER_MS) {
      return last.done
    }

    const done = withSignals([signal, AbortSignal.timeout(ADDRESS_LEARNING_MS)], async either => this.#askPeers(family, relayed, either))
    this.#attempts.set(family, { done, started: Date.now(), signal })

    return done
  }

  async #askPeers (family: Family, relayed: Connection, signal: AbortSignal): Promise<void> {
    const { isCounting, log, onResult } = this.#init
    let asked = 0

    for (const connection of this.#connections(relayed)) {
      const multiaddrs = await this.#addressesOf(connection, family)

      if (multiaddrs.length === 0) {
        continue
      }

      if (asked++ === MAX_ASKED) {
        break
      }

      try {
        await this.#ask(connection.remotePeer, multiaddrs, { signal, reusePort: isCounting(family) ? false : 'require' })
        onResult('address_learned')
        return
      } catch (err) {
        log('%p has not told at which address it sees us - %e', connection.remotePeer, err)
      }
    }

    onResult('address_not_learned')
  }

  /** The direct connections. Those to the relay come first: relays expect to be dialed */
  #connections (relayed: Connection): Connection[] {
    const direct = this.#init.components.connectionManager.getConnections().filter(isDirect)
    const isToRelay = ({ remotePeer }: Connection): boolean => relayed.remoteAddr.toString().includes(`/p2p/${remotePeer}/p2p-circuit`)

    return [...direct.filter(isToRelay), ...direct.filter(connection => !isToRelay(connection))]
  }

  /** The peer's public addresses: first the one that was dialed, then those that it announces */
  async #addressesOf ({ direction, remoteAddr, remotePeer }: Connection, family: Family): Promise<Multiaddr[]> {
    const announced = await this.#init.components.peerStore.get(remotePeer).then(({ addresses }) => addresses.map(({ multiaddr }) => multiaddr), () => [])

    return [...direction === 'outbound' ? [remoteAddr] : [], ...announced].filter(ma => {
      const host = TCP.exactMatch(ma) ? tryGetNetConfig(ma)?.host : undefined

      return host != null && familyToLearn(ma) === family && isPublic(host)
    })
  }

  async #ask (peer: PeerId, multiaddrs: Multiaddr[], options: LearningDialOptions): Promise<void> {
    const { components: { events }, dial, log } = this.#init

    log('dialing %p from %s, to be told at which address that is seen', peer, options.reusePort === false ? 'an ephemeral port' : 'the listening port')
    const connection = await dial(peer, multiaddrs, options)

    try {
      await pEvent<'peer:identify', CustomEvent<IdentifyResult>>(events, 'peer:identify', {
        filter: ({ detail }) => detail.connection.id === connection.id,
        signal: options.signal
      })
    } finally {
      connection.close().catch(err => { connection.abort(err) })
    }
  }
}

/**
 * The family of a listening address or of a peer's address; undefined for a loopback address,
 * as no NAT maps it
 */
function familyToLearn (ma: Multiaddr): Family | undefined {
  const { type, host = '' } = tryGetNetConfig(ma) ?? {}

  return (type === 'ip4' || type === 'ip6') && !isLoopback(host) ? familyOf(host) : undefined
}
