import { tryGetNetConfig } from '@libp2p/utils'
import { TCP } from '@multiformats/multiaddr-matcher'
import { toMultiaddr } from '../address.ts'
import { familyOf, isPublic, keyOf, siteOf } from '../endpoint.ts'
import { isOwnAddress } from '../port-reuse/route.ts'
import { askConnectedPeers, runsAutonatV1 } from './autonat.ts'
import { Observations } from './observations.ts'
import { byAgreement } from './votes.ts'
import type { AutonatComponents } from './autonat.ts'
import type { NatMapping } from './nat-mapping.ts'
import type { Agreement, ExternalAddress, Votes } from './votes.ts'
import type { RawConnection } from '../connection/connection.ts'
import type { Endpoint } from '../endpoint.ts'
import type { Connection, IdentifyResult, Libp2pEvents, Logger } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { TypedEventTarget } from 'main-event'

/**
 * How many addresses of one listening endpoint the address manager has at a time. It has ten
 * slots in all; an endpoint needs one, or two while a NAT that was restarted maps it anew
 */
const MAX_HANDED_OVER = 3

/** An external address of a listening endpoint */
export interface ObservedAddress extends Agreement {
  multiaddr: Multiaddr
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

/**
 * What is used of libp2p's address manager. Without the optional methods nothing that was
 * handed over is taken back
 */
export interface ObservedAddressManager {
  addObservedAddr(ma: Multiaddr): void
  removeObservedAddr?(ma: Multiaddr): void
  removePublicAddressMapping?(internalIp: string, internalPort: number, externalIp: string, externalPort: number, protocol: 'tcp'): void
  getAddressesWithMetadata?(): Array<{ multiaddr: Multiaddr, type: string, verified: boolean }>
}

export interface ObservedInit {
  /**
   * How many observers must agree on an address before it is handed to the
   * address manager
   */
  threshold: number
  log: Logger

  /** Where peers are identified */
  events?: TypedEventTarget<Libp2pEvents>
  addressManager?: ObservedAddressManager

  /** Who verifies what is handed over */
  autonat: AutonatComponents

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
  readonly #mappings = new Map<string, NatMapping>()

  /**
   * By listening endpoint. An address stays, also with fewer observers than the threshold,
   * until others have more: the address manager accepts each address only once, so it would
   * not accept it again
   */
  readonly #handedOver = new Map<string, { readonly local: Endpoint, readonly addresses: readonly Endpoint[] }>()
  #saidAutonatV1 = false

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

  /** What its peer says from now on comes too late */
  closed ({ timeline }: Pick<RawConnection, 'timeline'>): void {
    const own = this.#connections.get(timeline)

    if (own != null) {
      this.#observations.close(own)
      this.#connections.delete(timeline)
    }
  }

  endpoints (): ObservedEndpoint[] {
    return this.#observations.endpoints()
      .filter(({ local }) => this.#init.isListening(local))
      .map(({ local, votes }) => ({
        local: toMultiaddr(local),
        mapping: votes.mapping(this.#init.threshold),
        current: this.#observations.isCurrent(local),
        addresses: votes.addresses.map(({ external, observers, dialed }) => ({ multiaddr: toMultiaddr(external), observers, dialed }))
      }))
  }

  #onIdentify ({ connection, observedAddr }: Pick<IdentifyResult, 'connection' | 'observedAddr'>): void {
    const own = this.#connections.get(connection.timeline)
    const external = observedAddr == null ? undefined : publicEndpoint(observedAddr)

    if (own == null || external == null || familyOf(external.host) !== familyOf(own.local.host)) {
      return
    }

    this.#takeBackUnlistened()

    const { local, remote, dialed } = own

    if (!this.#init.isListening(local)) {
      return
    }

    this.#observations.add(own, { local, external, observer: siteOf(remote.host), dialed })
    this.#init.log('%a observes %s:%d as %a', connection.remoteAddr, local.host, local.port, observedAddr)

    const votes = this.#observations.votes(local)
    this.#noteMapping(local, votes)

    if (!runsAutonatV1(this.#init.autonat)) {
      this.#handOver(local, votes)
    } else if (!this.#saidAutonatV1) {
      this.#saidAutonatV1 = true
      this.#init.log('observed addresses are not handed to the address manager, as @libp2p/autonat would lose connections over them. Use @libp2p/autonat-v2 instead')
    }
  }

  #noteMapping (local: Endpoint, votes: Votes): void {
    const key = keyOf(local)
    const mapping = votes.mapping(this.#init.threshold)

    if (mapping !== (this.#mappings.get(key) ?? 'unknown')) {
      this.#init.log('the NAT mapping of %s:%d is %s', local.host, local.port, mapping)
    }

    this.#mappings.set(key, mapping)
  }

  /**
   * Gives the address manager the addresses of an endpoint that enough observers agree on,
   * the best {@link MAX_HANDED_OVER} of them at a time
   */
  #handOver (local: Endpoint, votes: Votes): void {
    const key = keyOf(local)
    const before = this.#handedOver.get(key)?.addresses.map(external => ({ external, ...votes.of(external) })) ?? []
    const better = this.#agreed(votes, before)
    // of equal ones, those that were handed over before come first
    const best = [...before, ...better].sort(byAgreement).slice(0, MAX_HANDED_OVER)
    const kept = before.filter(address => best.includes(address) || !this.#takeBack(key, address))
    const added = best.filter(address => !before.includes(address)).slice(0, MAX_HANDED_OVER - kept.length)

    if (added.length === 0 && kept.length === before.length) {
      return
    }

    const { addressManager, autonat, log } = this.#init
    this.#handedOver.set(key, { local, addresses: [...kept, ...added].map(({ external }) => external) })

    for (const { external, observers } of added) {
      // an address of our own needs no verification by others
      if (!(external.port === local.port && isOwnAddress(external.host))) {
        const ma = toMultiaddr(external)
        log('%d observers agree on %a, to be verified', observers, ma)
        kept.filter(old => old.observers === 0 && old.external.host === external.host).forEach(old => {
          // the NAT maps us to another port now, after a restart perhaps. The address manager
          // ignores other ports of an address that it knows to be mapped
          addressManager?.removePublicAddressMapping?.(local.host, local.port, old.external.host, old.external.port, 'tcp')
        })
        addressManager?.addObservedAddr(ma)
      }
    }

    askConnectedPeers(autonat).catch(err => { log('could not have AutoNAT ask the connected peers - %e', err) })
  }

  /** The best of the addresses that enough observers agree on and that have no place yet */
  #agreed ({ addresses }: Votes, before: ExternalAddress[]): ExternalAddress[] {
    const agreed: ExternalAddress[] = []

    for (const address of addresses) {
      if (agreed.length === MAX_HANDED_OVER) {
        break
      }

      if (address.observers >= this.#init.threshold && !before.some(({ external }) => keyOf(external) === keyOf(address.external))) {
        agreed.push(address)
      }
    }

    return agreed
  }

  /**
   * Makes room in the address manager
   *
   * @returns false if the address must stay: it is announced and still observed
   */
  #takeBack (key: string, { external, observers }: ExternalAddress): boolean {
    const { addressManager, log } = this.#init
    const elsewhere = [...this.#handedOver].some(([other, { addresses }]) => other !== key && addresses.some(address => keyOf(address) === keyOf(external)))

    if (elsewhere || addressManager?.removeObservedAddr == null || addressManager.getAddressesWithMetadata == null) {
      return true
    }

    // one that has become a mapping has no slot, and to remove it would stop its announcement
    const ma = toMultiaddr(external)
    const held = addressManager.getAddressesWithMetadata().find(({ multiaddr, type }) => type === 'observed' && multiaddr.equals(ma))

    if (held?.verified === true && observers > 0) {
      return false
    }

    if (held != null) {
      log('taking back %a, which %d observers agree on: others have more', ma, observers)
      addressManager.removeObservedAddr(ma)
    }

    return true
  }

  #takeBackUnlistened (): void {
    for (const [key, { local, addresses }] of this.#handedOver) {
      if (!this.#init.isListening(local)) {
        this.#handedOver.delete(key)
        this.#mappings.delete(key)
        addresses.forEach(external => this.#takeBack(key, { external, observers: 0, dialed: 0 }))
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
