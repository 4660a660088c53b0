import { tryGetNetConfig } from '@libp2p/utils'
import { Circuit, TCP } from '@multiformats/multiaddr-matcher'
import { pEvent } from 'p-event'
import { withSignals } from '../abort.ts'
import { familyOf, isLoopback, isPublic } from '../endpoint.ts'
import { ADDRESS_LEARNING_MS } from '../upgrading/time-limits.ts'
import type { Family } from '../endpoint.ts'
import type { DCUtRServiceComponents } from '@libp2p/dcutr'
import type { Connection, IdentifyResult, Libp2pEvents, Logger, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { TypedEventTarget } from 'main-event'

/** How long after an attempt there is no other one for the same family */
const RETRY_AFTER_MS = 30_000

/** How many peers are asked in one attempt */
const MAX_ASKED = 2

export interface AddressLearnerInit {
  components: Pick<DCUtRServiceComponents, 'connectionManager' | 'peerStore' | 'transportManager'> & { events: TypedEventTarget<Libp2pEvents> }
  log: Logger

  /**
   * Has a peer that we dialed from a listening endpoint of this family told what it sees,
   * and can the NAT be expected to map the endpoint to that still?
   */
  isKnown(family: Family): boolean

  /**
   * Dials one of the addresses from the listening port
   *
   * @throws {Error} if that fails, or none of them may be dialed
   */
  dial(peer: PeerId, multiaddrs: Multiaddr[], signal: AbortSignal): Promise<Connection>
  onResult(result: 'address_learned' | 'address_not_learned'): void
}

/**
 * Finds out at which address peers see the listening endpoints, when a hole is to be
 * punched and no peer has told, or the NAT may have forgotten: dials the relay, or another
 * public peer that we are connected to, once more from the listening port, waits for what
 * it says by identify, and closes that connection
 */
export class AddressLearner {
  readonly #init: AddressLearnerInit
  readonly #attempts = new Map<Family, { readonly done: Promise<void>, readonly started: number, readonly signal: AbortSignal }>()

  constructor (init: AddressLearnerInit) {
    this.#init = init
  }

  /**
   * Resolves when the addresses are known, or all that is tried has failed. Never rejects
   *
   * @param relayed - the connection over which the hole punch is coordinated
   * @param signal - ends it, for all that wait for the same
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

    // one that was ended has found out nothing
    if (last != null && !last.signal.aborted && Date.now() - last.started < RETRY_AFTER_MS) {
      return last.done
    }

    const done = withSignals([signal, AbortSignal.timeout(ADDRESS_LEARNING_MS)], async either => this.#askPeers(family, relayed, either))
    this.#attempts.set(family, { done, started: Date.now(), signal })

    return done
  }

  async #askPeers (family: Family, relayed: Connection, signal: AbortSignal): Promise<void> {
    const { log, onResult } = this.#init
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
        await this.#ask(connection.remotePeer, multiaddrs, signal)
        onResult('address_learned')
        return
      } catch (err) {
        log('%p has not told at which address it sees us - %e', connection.remotePeer, err)
      }
    }

    onResult('address_not_learned')
  }

  /** The direct connections, those to the relay first, as relays expect to be dialed */
  #connections (relayed: Connection): Connection[] {
    const direct = this.#init.components.connectionManager.getConnections()
      .filter(({ remoteAddr, status }) => status === 'open' && !Circuit.matches(remoteAddr))
    const isToRelay = ({ remotePeer }: Connection): boolean => relayed.remoteAddr.toString().includes(`/p2p/${remotePeer}/p2p-circuit`)

    return [...direct.filter(isToRelay), ...direct.filter(connection => !isToRelay(connection))]
  }

  /** Where the peer can be dialed: where we have dialed it, or else what it announces */
  async #addressesOf ({ direction, remoteAddr, remotePeer }: Connection, family: Family): Promise<Multiaddr[]> {
    const announced = await this.#init.components.peerStore.get(remotePeer).then(({ addresses }) => addresses.map(({ multiaddr }) => multiaddr), () => [])

    return [...direction === 'outbound' ? [remoteAddr] : [], ...announced].filter(ma => {
      const host = TCP.exactMatch(ma) ? tryGetNetConfig(ma)?.host : undefined

      return host != null && familyToLearn(ma) === family && isPublic(host)
    })
  }

  async #ask (peer: PeerId, multiaddrs: Multiaddr[], signal: AbortSignal): Promise<void> {
    const { components: { events }, dial, log } = this.#init

    log('dialing %p from the listening port, to be told at which address that is seen', peer)
    const connection = await dial(peer, multiaddrs, signal)

    try {
      await pEvent<'peer:identify', CustomEvent<IdentifyResult>>(events, 'peer:identify', {
        filter: ({ detail }) => detail.connection.id === connection.id,
        signal
      })
    } finally {
      connection.close().catch(err => { connection.abort(err) })
    }
  }
}

/** The family of a listening address that a NAT can map, or of a peer's address */
function familyToLearn (ma: Multiaddr): Family | undefined {
  const { type, host = '' } = tryGetNetConfig(ma) ?? {}

  return (type === 'ip4' || type === 'ip6') && !isLoopback(host) ? familyOf(host) : undefined
}
