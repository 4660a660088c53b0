/*
 * What the address manager is told, how often, and what is taken back.
 *
 * Each address that is handed over makes this node upload. AutoNAT v2 asks servers to dial
 * it, and a server asks for data before it dials an address that it does not see us at:
 * js-libp2p's servers for 30 to 100 kB, and the client sends 200 KiB at most. Peers can name
 * any address, so these numbers bound what they make the node do, whatever they say:
 *
 * - addresses of one listening endpoint in the address manager: 2 that dialed peers name
 *   and 1 that only inbound peers name. Of all endpoints: 10 (libp2p's own limit)
 * - hand-overs of one listening endpoint: 3, then one in ten minutes. What only inbound
 *   peers name: 1, then one in ten minutes
 * - rounds of questions: one for each hand-over, and one a minute for the whole transport
 * - servers that are asked in a round: 16, in different networks
 *
 * A round about one endpoint is 16 servers * 3 addresses * 100 kB = 4.8 MB at most. With one
 * listening endpoint, that is 9 * 4.8 = 43 MB in the first hour and 6 * 4.8 = 29 MB in each
 * later one. Inbound peers alone cause 7 rounds in the first hour: 34 MB, or 11 MB if the
 * addresses that dialed peers name are verified, as those are not asked about. Servers that
 * ask for more than js-libp2p's can make it twice as much. Each listening endpoint adds as
 * much again, up to 60 * 16 * 10 * 100 kB = 960 MB an hour; only this node chooses how many
 * there are. In practice it is less: AutoNAT stops asking about an address when four servers
 * could dial it or eight could not.
 *
 * AutoNAT v2 by itself also asks each server when that connects, about all addresses that
 * are not verified then. Nothing here bounds how often servers connect. Each time costs 100
 * kB (200 KiB) for each such address: 3 for one listening endpoint, and 1 of them by the
 * word of inbound peers alone.
 */

import { toMultiaddr } from '../address.ts'
import { keyOf, sameEndpoint } from '../endpoint.ts'
import { isOwnAddress } from '../port-reuse/route.ts'
import { askConnectedPeers, runsAutonatV1 } from './autonat.ts'
import { byAgreement } from './votes.ts'
import type { AutonatComponents } from './autonat.ts'
import type { ExternalAddress, Votes } from './votes.ts'
import type { Endpoint } from '../endpoint.ts'
import type { Logger } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

/**
 * How many addresses of one listening endpoint the address manager has at a time. An
 * endpoint needs one, or two while a NAT that was restarted maps it anew. What only inbound
 * peers name has a place of its own, and never takes one of the others
 */
const PLACES = { dialed: 2, inbound: 1 }

/** How many hand-overs of one listening endpoint there can be at once */
const HAND_OVERS = 3

/** After how long there can be one more */
const HAND_OVER_MS = 10 * 60_000

/** How many hand-overs what only inbound peers name must leave to the others */
const LEFT_BY_INBOUND = 2

/**
 * How many hand-overs an address must leave if more dialed peers agree on another one. So
 * a NAT that maps the endpoint anew is followed, even if some of the peers lie that we dialed
 */
const LEFT_BY_MINORITY = 1

/** How long after a round of questions to AutoNAT the next one can be */
const ROUND_MS = 60_000

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

export interface HandOverInit {
  /** How many observers must agree on an address before it is handed over */
  threshold: number
  log: Logger
  addressManager?: ObservedAddressManager

  /** Who verifies what is handed over */
  autonat: AutonatComponents

  /** Is this endpoint listened on? */
  isListening(local: Endpoint): boolean

  /** What is said of an endpoint now */
  votes(local: Endpoint): Votes
}

/** An address that has a place in the address manager */
interface Held {
  readonly external: Endpoint

  /** `dialed` as soon as a peer has named it that we dialed */
  namedBy: keyof typeof PLACES
}

/** A listening endpoint */
interface HandedOver {
  readonly local: Endpoint
  readonly budget: Budget

  /**
   * An address stays, also with fewer observers than the threshold, until others have more:
   * the address manager accepts each address only once, so it would not accept it again
   */
  addresses: Held[]

  /** When an address waits for the budget */
  retry?: ReturnType<typeof setTimeout>
}

/** Decides which addresses libp2p's address manager has */
export class HandOver {
  readonly #init: HandOverInit
  readonly #endpoints = new Map<string, HandedOver>()
  #lastRound = -Infinity
  #nextRound?: ReturnType<typeof setTimeout>
  #saidAutonatV1 = false

  constructor (init: HandOverInit) {
    this.#init = init
  }

  /** To be called when something new is said of a listening endpoint, or of one that was one */
  review (local: Endpoint): void {
    this.#takeBackUnlistened()

    if (!this.#init.isListening(local)) {
      return
    }

    if (runsAutonatV1(this.#init.autonat)) {
      this.#sayAutonatV1()
      return
    }

    const votes = this.#init.votes(local)
    const endpoint = this.#endpointOf(local)
    this.#noteNamedByDialed(endpoint, votes)
    const added = this.#agreed(endpoint, votes).filter(address => this.#givePlace(endpoint, votes, address))
    this.#takeBackStale(endpoint, votes)

    for (const { external, observers } of added) {
      const ma = toMultiaddr(external)
      this.#init.log('%d observers agree on %a, to be verified', observers, ma)
      this.#init.addressManager?.addObservedAddr(ma)
    }

    if (added.length > 0) {
      this.#ask()
    }
  }

  #endpointOf (local: Endpoint): HandedOver {
    const key = keyOf(local)
    const endpoint = this.#endpoints.get(key) ?? { local, budget: new Budget(), addresses: [] }
    this.#endpoints.set(key, endpoint)

    return endpoint
  }

  /** A dialed peer may name an address that only inbound peers had named so far */
  #noteNamedByDialed (endpoint: HandedOver, votes: Votes): void {
    for (const held of endpoint.addresses) {
      if (votes.of(held.external).dialed > 0) {
        held.namedBy = 'dialed'
      }
    }

    rank(endpoint, 'dialed', votes).slice(PLACES.dialed).forEach(held => { this.#takeBack(endpoint, held) })
  }

  /**
   * The addresses that enough observers agree on and that have no place yet, the best ones
   * first. An address of our own needs no verification by others
   */
  #agreed ({ local, addresses }: HandedOver, votes: Votes): ExternalAddress[] {
    return votes.addresses.filter(({ external, observers }) => {
      return observers >= this.#init.threshold &&
        !addresses.some(held => sameEndpoint(held.external, external)) &&
        !(external.port === local.port && isOwnAddress(external.host))
    })
  }

  /** Gives an address a place, if there is one for it and the budget allows it */
  #givePlace (endpoint: HandedOver, votes: Votes, address: ExternalAddress): boolean {
    const namedBy = address.dialed > 0 ? 'dialed' : 'inbound'
    const displaced = rank(endpoint, namedBy, votes)[PLACES[namedBy] - 1]

    if (displaced != null && !this.#isBetter(address, displaced, votes)) {
      return false
    }

    if (!endpoint.budget.take(leftBy(address, votes))) {
      this.#tryAgainLater(endpoint, address)

      return false
    }

    if (displaced != null) {
      this.#takeBack(endpoint, displaced)
    }

    endpoint.addresses.push({ external: address.external, namedBy })

    return true
  }

  /** It takes more than the word of inbound peers to displace an address that is announced */
  #isBetter (address: ExternalAddress, { external, namedBy }: Held, votes: Votes): boolean {
    return byAgreement(address, votes.of(external)) < 0 &&
      (namedBy === 'dialed' || !this.#inAddressManager(external).some(({ verified }) => verified))
  }

  #tryAgainLater (endpoint: HandedOver, { external, observers }: ExternalAddress): void {
    const { log } = this.#init

    endpoint.retry ??= setTimeout(() => {
      endpoint.retry = undefined

      try {
        this.review(endpoint.local)
      } catch (err) {
        log('could not hand over what peers observed - %e', err)
      }
    }, endpoint.budget.msToNext()).unref()
    log('%d observers agree on %a, which has to wait: there were too many others', observers, toMultiaddr(external))
  }

  #inAddressManager (external: Endpoint): ReturnType<NonNullable<ObservedAddressManager['getAddressesWithMetadata']>> {
    const ma = toMultiaddr(external)

    return this.#init.addressManager?.getAddressesWithMetadata?.().filter(({ multiaddr }) => multiaddr.equals(ma)) ?? []
  }

  #takeBack (endpoint: HandedOver, { external }: Held): void {
    endpoint.addresses = endpoint.addresses.filter(held => held.external !== external)

    // one that has become a mapping has no slot, and to remove it would stop its announcement
    if (!this.#isHeld(external) && this.#inAddressManager(external).some(({ type }) => type === 'observed')) {
      const ma = toMultiaddr(external)
      this.#init.log('taking back %a', ma)
      this.#init.addressManager?.removeObservedAddr?.(ma)
    }
  }

  /**
   * Takes back what nobody observes any more, if dialed peers agree on another address: the
   * NAT has mapped the endpoint anew. Also if it had become a mapping: that would go on to be
   * announced, and the address manager ignores other ports of a host that it has a mapping of
   */
  #takeBackStale (endpoint: HandedOver, votes: Votes): void {
    const named = rank(endpoint, 'dialed', votes).map(held => ({ held, ...votes.of(held.external) }))

    if (!named.some(({ observers, dialed }) => dialed > 0 && observers >= this.#init.threshold)) {
      return
    }

    for (const { held } of named.filter(({ observers }) => observers === 0)) {
      const { local } = endpoint
      const { external } = held
      this.#takeBack(endpoint, held)

      if (!this.#isHeld(external)) {
        this.#init.addressManager?.removePublicAddressMapping?.(local.host, local.port, external.host, external.port, 'tcp')
      }
    }
  }

  #takeBackUnlistened (): void {
    for (const [key, endpoint] of this.#endpoints) {
      if (!this.#init.isListening(endpoint.local)) {
        this.#endpoints.delete(key)
        clearTimeout(endpoint.retry)
        endpoint.addresses.forEach(held => { this.#takeBack(endpoint, held) })
      }
    }
  }

  /** Several listening endpoints may have the same external address */
  #isHeld (external: Endpoint): boolean {
    return [...this.#endpoints.values()].some(({ addresses }) => addresses.some(held => sameEndpoint(held.external, external)))
  }

  /** Has AutoNAT ask servers, now or at the end of the minute */
  #ask (): void {
    const ask = (): void => {
      this.#nextRound = undefined
      this.#lastRound = Date.now()
      askConnectedPeers(this.#init.autonat).catch(err => { this.#init.log('could not have AutoNAT ask the connected peers - %e', err) })
    }

    if (this.#nextRound != null) {
      return
    }

    // the clock may have been set back meanwhile
    const wait = Math.min(this.#lastRound + ROUND_MS - Date.now(), ROUND_MS)

    if (wait > 0) {
      this.#nextRound = setTimeout(ask, wait).unref()
    } else {
      ask()
    }
  }

  #sayAutonatV1 (): void {
    if (!this.#saidAutonatV1) {
      this.#saidAutonatV1 = true
      this.#init.log('observed addresses are not handed to the address manager, as @libp2p/autonat would lose connections over them. Use @libp2p/autonat-v2 instead')
    }
  }
}

/** How many hand-overs are allowed: {@link HAND_OVERS}, and one more each {@link HAND_OVER_MS} */
class Budget {
  #left = HAND_OVERS

  /** When the last one was added, in ms */
  #added = Date.now()

  /** Takes one, if at least `leave` are left then */
  take (leave: number): boolean {
    this.#refill()

    if (this.#left <= leave) {
      return false
    }

    this.#left--

    return true
  }

  msToNext (): number {
    this.#refill()

    return this.#added + HAND_OVER_MS - Date.now()
  }

  #refill (): void {
    const now = Date.now()
    const more = Math.floor((now - this.#added) / HAND_OVER_MS)
    this.#left = Math.min(this.#left + Math.max(more, 0), HAND_OVERS)
    // a full budget gets no more, and the clock may have been set back
    this.#added = this.#left === HAND_OVERS || more < 0 ? now : this.#added + more * HAND_OVER_MS
  }
}

/** The addresses with a place of this kind, the best first */
function rank ({ addresses }: HandedOver, kind: Held['namedBy'], votes: Votes): Held[] {
  return addresses
    .filter(({ namedBy }) => namedBy === kind)
    .sort((a, b) => byAgreement(votes.of(a.external), votes.of(b.external)))
}

/** How many hand-overs this address must leave to others */
function leftBy (address: ExternalAddress, votes: Votes): number {
  if (address.dialed === 0) {
    return LEFT_BY_INBOUND
  }

  return address === votes.addresses[0] ? 0 : LEFT_BY_MINORITY
}
