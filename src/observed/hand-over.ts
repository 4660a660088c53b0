/*
 * Which addresses the address manager gets, how often, and which are taken back.
 *
 * Each address that is handed over makes this node upload data. AutoNAT v2 asks servers to dial
 * the address. If a server sees this node at another address, it asks for data before it dials.
 * js-libp2p's servers ask for 30 to 100 kB, and the client sends at most 200 KiB. Peers can
 * name any address. So these limits hold whatever the peers name:
 *
 * - Addresses of one listening endpoint in the address manager: 2 that dialed peers name, and 1
 *   that only inbound peers name. The guess of a forwarded port takes one of the 2. Of all
 *   endpoints: 10 (libp2p's own limit).
 * - Hand-overs of one listening endpoint: 3, then one in ten minutes. Of addresses that only
 *   inbound peers name: 1, then one in ten minutes.
 * - Rounds of questions: at most one for each hand-over, and at most one a minute for the whole
 *   transport.
 * - Servers that are asked in a round: 16, in different networks.
 *
 * A round about one endpoint costs at most 16 servers * 3 addresses * 100 kB = 4.8 MB. With one
 * listening endpoint, this is 9 * 4.8 = 43 MB in the first hour and 6 * 4.8 = 29 MB in each
 * later hour. Inbound peers alone cause 7 rounds in the first hour. This is 34 MB, or 11 MB if
 * the addresses that dialed peers name are verified: nobody is asked about verified addresses.
 * Servers that ask for more data than js-libp2p's can double these numbers. Each further
 * listening endpoint adds the same amount, up to 60 * 16 * 10 * 100 kB = 960 MB an hour. Only
 * this node chooses the number of its endpoints. In practice the amounts are smaller: AutoNAT
 * stops asking about an address when four servers could dial it or eight could not.
 *
 * By itself, AutoNAT v2 also asks each server when the server connects, about all addresses
 * that are not verified yet. Nothing here limits how often servers connect. Each time costs 100
 * kB (at most 200 KiB) for each such address. One listening endpoint has at most 3 of them.
 * Inbound peers alone cause at most 1 of the 3.
 */

import { toMultiaddr } from '../address.ts'
import { keyOf, sameEndpoint } from '../endpoint.ts'
import { isOwnAddress } from '../port-reuse/route.ts'
import { askConnectedPeers, runsAutonatV1 } from './autonat.ts'
import { superseded } from './dials.ts'
import { forwardedPort } from './forwarded-port.ts'
import { byAgreement } from './votes.ts'
import type { AutonatComponents } from './autonat.ts'
import type { Dial } from './dials.ts'
import type { ExternalAddress, Votes } from './votes.ts'
import type { Endpoint } from '../endpoint.ts'
import type { Logger } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

/**
 * How many addresses of one listening endpoint the address manager has at a time. An endpoint
 * needs one, or two for a while after a NAT was restarted and maps the endpoint to a new
 * address. An address that only inbound peers name has its own place. It never takes the place
 * of another one
 */
const PLACES = { dialed: 2, inbound: 1 }

/** How many hand-overs of one listening endpoint can follow each other without a wait */
const HAND_OVERS = 3

/** After how many ms there can be one more hand-over */
const HAND_OVER_MS = 10 * 60_000

/** An address that only inbound peers name must leave so many hand-overs to other addresses */
const LEFT_BY_INBOUND = 2

/**
 * If more dialed peers agree on another address, an address must leave so many hand-overs to the
 * others. So there is a hand-over left if a NAT maps the endpoint to a new address, even if some
 * dialed peers lie
 */
const LEFT_BY_MINORITY = 1

/** The shortest time between two rounds of questions by AutoNAT, in ms */
const ROUND_MS = 60_000

/**
 * The part of libp2p's address manager that is used here. Without the optional methods no
 * address is taken back
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

  /** The AutoNAT services that verify the addresses */
  autonat: AutonatComponents

  /** Does this node listen on this endpoint? */
  isListening(local: Endpoint): boolean

  /** The current votes about an endpoint */
  votes(local: Endpoint): Votes

  /** The last dial from the endpoint to each observer, the newest first */
  dials(local: Endpoint): Dial[]
}

/** An address that should get a place in the address manager */
interface Wanted extends ExternalAddress {
  /** Only the IP address was observed, see `forwarded-port.ts` */
  readonly isGuess: boolean
}

/** An address that has a place in the address manager */
interface Held extends Pick<Wanted, 'external' | 'isGuess'> {
  /** `dialed` as soon as a dialed peer has named the address, or its IP address */
  namedBy: keyof typeof PLACES
}

/** A listening endpoint, and its addresses in the address manager */
interface HandedOver {
  readonly local: Endpoint
  readonly budget: Budget

  /**
   * An address stays until others have more observers, even if it has fewer than the threshold.
   * The address manager accepts each address only once, so the address could not be added again
   */
  addresses: Held[]

  /** Set while an address waits for the budget */
  retry?: ReturnType<typeof setTimeout>
}

/** Decides which addresses libp2p's address manager has */
export class HandOver {
  readonly #init: HandOverInit
  readonly #endpoints = new Map<string, HandedOver>()
  #lastRound = -Infinity
  #nextRound?: ReturnType<typeof setTimeout>

  constructor (init: HandOverInit) {
    this.#init = init
  }

  /** Must be called after each report about an endpoint that is, or was, a listening one */
  review (local: Endpoint): void {
    this.#takeBackUnlistened()

    if (!this.#init.isListening(local)) {
      return
    }

    // the log says so once, at the start
    if (runsAutonatV1(this.#init.autonat)) {
      return
    }

    const votes = this.#init.votes(local)
    const dials = this.#init.dials(local)
    const endpoint = this.#endpointOf(local)
    const isFalse = superseded(dials, this.#init.threshold)
    this.#noteNamedByDialed(endpoint, votes)
    this.#takeBackFalse(endpoint, ({ external, isGuess }) => isFalse(isGuess ? { host: external.host } : external))
    const added = this.#agreed(endpoint, votes, dials)
      .filter(({ external, dialed, isGuess }) => dialed === 0 || isGuess || !isFalse(external))
      .filter(address => this.#givePlace(endpoint, votes, address))
    this.#takeBackStale(endpoint, votes)

    for (const { external, observers, isGuess } of added) {
      const ma = toMultiaddr(external)
      this.#init.log('%d observers agree on %s%a, to be verified', observers, isGuess ? 'the IP address of ' : '', ma)
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
   * first. The address of an own network interface is left out: nobody needs to verify it
   */
  #agreed ({ local, addresses }: HandedOver, votes: Votes, dials: Dial[]): Wanted[] {
    const { threshold } = this.#init
    const guess = forwardedPort(local, dials, threshold)
    const agreed = votes.addresses.filter(({ external, observers }) => observers >= threshold && (guess == null || !sameEndpoint(external, guess.external)))

    return [
      ...agreed.map(address => ({ ...address, isGuess: false })),
      ...guess == null ? [] : [{ ...guess, isGuess: true }]
    ].filter(({ external }) => {
      return !addresses.some(held => sameEndpoint(held.external, external)) &&
        !(external.port === local.port && isOwnAddress(external.host))
    })
  }

  /** Gives an address a place, if there is a place for it and the budget allows it */
  #givePlace (endpoint: HandedOver, votes: Votes, address: Wanted): boolean {
    const { external, isGuess } = address
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

    endpoint.addresses.push({ external, isGuess, namedBy })

    return true
  }

  /** Inbound peers alone can't displace a verified address, as it is announced */
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

    // a mapping is no observed address any more: it takes no place in the address manager, and
    // removing it would stop its announcement
    if (!this.#isHeld(external) && this.#inAddressManager(external).some(({ type }) => type === 'observed')) {
      const ma = toMultiaddr(external)
      this.#init.log('taking back %a', ma)
      this.#init.addressManager?.removeObservedAddr?.(ma)
    }
  }

  /**
   * Takes back the addresses that nobody observes any more, if dialed peers agree on another
   * address. The NAT then maps the endpoint to a new address
   */
  #takeBackStale (endpoint: HandedOver, votes: Votes): void {
    const named = rank(endpoint, 'dialed', votes).map(({ external }) => votes.of(external))

    if (named.some(({ observers, dialed }) => dialed > 0 && observers >= this.#init.threshold)) {
      this.#takeBackFalse(endpoint, ({ external, isGuess }) => !isGuess && votes.of(external).observers === 0)
    }
  }

  /**
   * Takes back those addresses named by dialed peers that lead nowhere any more. An address that
   * has become a mapping is removed, too. Else it would still be announced, and the address
   * manager would ignore other ports of the same host
   */
  #takeBackFalse (endpoint: HandedOver, isFalse: (held: Held) => boolean): void {
    const { local } = endpoint

    for (const held of endpoint.addresses.filter(held => held.namedBy === 'dialed' && isFalse(held))) {
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

  /** Makes AutoNAT ask servers: now, or {@link ROUND_MS} after the last round */
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
}

/** How many hand-overs are allowed: {@link HAND_OVERS}, and one more each {@link HAND_OVER_MS} */
class Budget {
  #left = HAND_OVERS

  /** When a hand-over was last added, in ms */
  #added = Date.now()

  /** Takes one hand-over, if at least `leave` are left after it */
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

/** How many hand-overs this address must leave to other addresses */
function leftBy (address: ExternalAddress, votes: Votes): number {
  if (address.dialed === 0) {
    return LEFT_BY_INBOUND
  }

  return sameEndpoint(address.external, votes.addresses[0].external) ? 0 : LEFT_BY_MINORITY
}
