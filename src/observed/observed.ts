import { tryGetNetConfig } from '@libp2p/utils'
import { TCP } from '@multiformats/multiaddr-matcher'
import { familyOf } from '../port-pool.ts'
import { isOwnAddress } from '../route.ts'
import { toMultiaddr } from '../to-multiaddr.ts'
import { Observations } from './observations.ts'
import { isPublic, observerOf } from './observer.ts'
import type { NatMapping } from './nat-mapping.ts'
import type { RawConnection } from '../connection.ts'
import type { Endpoint } from '../port-pool.ts'
import type { Connection, IdentifyResult, Libp2pEvents, Logger } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { TypedEventTarget } from 'main-event'

/**
 * What peers see one of our listening endpoints as
 */
export interface ObservedEndpoint {
  /**
   * The endpoint that is listened on
   */
  local: Multiaddr

  /**
   * How a NAT maps it
   */
  mapping: NatMapping

  /**
   * Its external addresses, those that most observers agree on first
   */
  addresses: Array<{ multiaddr: Multiaddr, observers: number }>
}

export interface ObservedInit {
  /**
   * How many observers must agree on an address before it is handed to the
   * address manager
   */
  threshold: number
  log: Logger

  /**
   * Where peers are identified
   */
  events?: TypedEventTarget<Libp2pEvents>
  addressManager?: { addObservedAddr(ma: Multiaddr): void }
}

/**
 * A connection that came from, or arrived at, a listening endpoint
 */
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
   * By the timeline, which is all that the upgraded connection has in common with the
   * raw one and with no other
   */
  readonly #connections = new Map<Connection['timeline'], OwnConnection>()
  readonly #mappings = new Map<string, NatMapping>()
  #handedOver = new Set<string>()

  constructor (init: ObservedInit) {
    this.#init = init
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

  /**
   * What its peer says from now on comes too late
   */
  closed ({ timeline }: Pick<RawConnection, 'timeline'>): void {
    const own = this.#connections.get(timeline)

    if (own != null) {
      this.#observations.close(own)
      this.#connections.delete(timeline)
    }
  }

  endpoints (): ObservedEndpoint[] {
    const endpoints = new Map<string, ObservedEndpoint>()

    for (const { local, external, observers } of this.#observations.addresses()) {
      const ma = toMultiaddr(local)
      const endpoint = endpoints.get(ma.toString()) ?? { local: ma, mapping: this.#observations.mapping(local, this.#init.threshold), addresses: [] }
      endpoint.addresses.push({ multiaddr: toMultiaddr(external), observers })
      endpoints.set(ma.toString(), endpoint)
    }

    return [...endpoints.values()]
  }

  #onIdentify ({ connection, observedAddr }: Pick<IdentifyResult, 'connection' | 'observedAddr'>): void {
    const own = this.#connections.get(connection.timeline)
    const external = observedAddr == null ? undefined : publicEndpoint(observedAddr)

    if (own == null || external == null || familyOf(external.host) !== familyOf(own.local.host)) {
      return
    }

    const { local, remote, dialed } = own
    this.#observations.add(own, { local, external, observer: observerOf(remote.host), dialed })
    this.#init.log('%a observes %s:%d as %a', connection.remoteAddr, local.host, local.port, observedAddr)

    this.#noteMapping(local)
    this.#handOver()
  }

  #noteMapping (local: Endpoint): void {
    const key = toMultiaddr(local).toString()
    const mapping = this.#observations.mapping(local, this.#init.threshold)

    if (mapping !== (this.#mappings.get(key) ?? 'unknown')) {
      this.#init.log('the NAT mapping of %s is %s', key, mapping)
    }

    this.#mappings.set(key, mapping)
  }

  #handOver (): void {
    const agreed = this.#observations.addresses().filter(({ local, external, observers }) => {
      // an address of our own needs no verification by others
      return observers >= this.#init.threshold && !(external.port === local.port && isOwnAddress(external.host))
    })
    const before = this.#handedOver
    this.#handedOver = new Set(agreed.map(({ external }) => toMultiaddr(external).toString()))

    for (const { external, observers } of agreed) {
      const ma = toMultiaddr(external)

      if (!before.has(ma.toString())) {
        this.#init.log('%d observers agree on %a, to be verified', observers, ma)
        this.#init.addressManager?.addObservedAddr(ma)
      }
    }
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
