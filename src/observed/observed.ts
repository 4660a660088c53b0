import { tryGetNetConfig } from '@libp2p/utils'
import { TCP } from '@multiformats/multiaddr-matcher'
import { toMultiaddr } from '../address.ts'
import { familyOf, isPublic, siteOf } from '../endpoint.ts'
import { HandOver } from './hand-over.ts'
import { Observations } from './observations.ts'
import type { HandOverInit } from './hand-over.ts'
import type { NatMapping } from './nat-mapping.ts'
import type { Agreement, Votes } from './votes.ts'
import type { RawConnection } from '../connection/connection.ts'
import type { Endpoint } from '../endpoint.ts'
import type { Connection, IdentifyResult, Libp2pEvents } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { TypedEventTarget } from 'main-event'

/** An external address of a listening endpoint */
export interface ObservedAddress extends Agreement {
  multiaddr: Multiaddr

  /** Do as many observers agree on it as `observedAddressThreshold` asks for? */
  agreed: boolean
}

/** What peers see one of our listening endpoints as */
export interface ObservedEndpoint {
  /** The endpoint that is listened on */
  local: Multiaddr

  /** How a NAT maps it */
  mapping: NatMapping

  /**
   * Has a peer that we dialed from it told what it sees, and is that connection open, or
   * closed for so short a time (4 minutes) that the NAT can be expected to keep the mapping?
   */
  current: boolean

  /**
   * Its external addresses: those that most observers agree on that we dialed first, then
   * those that most observers agree on
   */
  addresses: ObservedAddress[]
}

export interface ObservedInit extends Omit<HandOverInit, 'votes'> {
  /** Where peers are identified */
  events?: TypedEventTarget<Libp2pEvents>

  /**
   * Is this endpoint listened on? A connection that was dialed from it may outlive its
   * listener
   */
  isListening(local: Endpoint): boolean
}

/** A connection that came from, or arrived at, a listening endpoint */
export interface OwnConnection {
  readonly local: Endpoint
  readonly remote: Endpoint
  readonly dialed: boolean
}

/**
 * Follows identify over the transport's own connections: peers report the
 * address that they see us at. `@libp2p/identify` drops what they say of TCP, as
 * it is of no use with a transport that dials from any port.
 */
export class Observed {
  readonly #init: ObservedInit
  readonly #observations = new Observations()

  /**
   * By the timeline object: the upgraded connection shares it with the raw one, and with no
   * other
   */
  readonly #connections = new Map<Connection['timeline'], OwnConnection>()
  readonly #mappings = new WeakMap<Votes, NatMapping>()
  readonly #handOver: HandOver

  constructor (init: ObservedInit) {
    this.#init = init
    this.#handOver = new HandOver({ ...init, votes: local => this.#observations.votes(local) })
    init.events?.addEventListener('peer:identify', ({ detail }) => {
      try {
        this.#onIdentify(detail)
      } catch (err) {
        init.log('could not use what a peer observed - %e', err)
      }
    })
  }

  opened ({ timeline }: Pick<RawConnection, 'timeline'>, own: OwnConnection): void {
    this.#connections.set(timeline, own)
  }

  /** What its peer says from now on comes too late */
  closed ({ timeline }: Pick<RawConnection, 'timeline'>): void {
    const own = this.#connections.get(timeline)

    if (own != null) {
      this.#observations.close(own)
      this.#connections.delete(timeline)
    }
  }

  endpoints (): ObservedEndpoint[] {
    const { threshold } = this.#init

    return this.#observations.endpoints()
      .filter(({ local }) => this.#init.isListening(local))
      .map(({ local, votes }) => ({
        local: toMultiaddr(local),
        mapping: votes.mapping(threshold),
        current: this.#observations.isCurrent(local),
        addresses: votes.addresses.map(({ external, observers, dialed }) => ({
          multiaddr: toMultiaddr(external),
          observers,
          dialed,
          agreed: observers >= threshold
        }))
      }))
  }

  #onIdentify ({ connection, observedAddr }: Pick<IdentifyResult, 'connection' | 'observedAddr'>): void {
    const own = this.#connections.get(connection.timeline)
    const external = observedAddr == null ? undefined : publicEndpoint(observedAddr)

    if (own == null || external == null || familyOf(external.host) !== familyOf(own.local.host)) {
      return
    }

    const { local, remote, dialed } = own

    if (this.#init.isListening(local)) {
      const counts = this.#observations.add(own, { local, external, observer: siteOf(remote.host), dialed })
      this.#init.log('%a observes %s:%d as %a%s', connection.remoteAddr, local.host, local.port, observedAddr, counts ? '' : ', which does not count: its host has changed its word too often')
      this.#noteMapping(local)
    }

    this.#handOver.review(local)
  }

  #noteMapping (local: Endpoint): void {
    const votes = this.#observations.votes(local)
    const mapping = votes.mapping(this.#init.threshold)

    if (mapping !== (this.#mappings.get(votes) ?? 'unknown')) {
      this.#init.log('the NAT mapping of %s:%d is %s', local.host, local.port, mapping)
    }

    this.#mappings.set(votes, mapping)
  }
}

function publicEndpoint (observed: Multiaddr): Endpoint | undefined {
  if (!TCP.exactMatch(observed)) {
    return
  }

  const { type, host, port } = tryGetNetConfig(observed) ?? {}

  if ((type !== 'ip4' && type !== 'ip6') || host == null || port == null || port === 0 || !isPublic(host)) {
    return
  }

  return { host, port }
}
