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

  /** Do at least `observedAddressThreshold` observers agree on the address? */
  agreed: boolean
}

/** A listening endpoint, and the addresses at which peers see it */
export interface ObservedEndpoint {
  /** The listening endpoint */
  local: Multiaddr

  /** How a NAT maps the endpoint */
  mapping: NatMapping

  /**
   * Is the NAT expected to still have the mapping? True if a peer that was dialed from this
   * endpoint has reported its address, and the connection is open or was closed less than 4
   * minutes ago
   */
  current: boolean

  /**
   * The external addresses of the endpoint. Those with the most dialed observers come first,
   * then those with the most observers
   */
  addresses: ObservedAddress[]
}

export interface ObservedInit extends Omit<HandOverInit, 'votes'> {
  /** The events of libp2p, which say when a peer is identified */
  events?: TypedEventTarget<Libp2pEvents>

  /**
   * Does this node listen on this endpoint? A connection that was dialed from the endpoint may
   * outlive its listener
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
 * Follows identify over the transport's own connections. Peers report the address at which they
 * see this node. `@libp2p/identify` drops the reports about TCP, because they are of no use to a
 * transport that dials from any port.
 */
export class Observed {
  readonly #init: ObservedInit
  readonly #observations = new Observations()

  /**
   * By the timeline object. The upgraded connection has the same timeline object as the raw
   * connection, and no other connection has it
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

  /** The connection has closed. Later reports of its peer are ignored */
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
