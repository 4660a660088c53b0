import { tryGetNetConfig } from '@libp2p/utils'
import { TCP } from '@multiformats/multiaddr-matcher'
import { toMultiaddr } from '../address.ts'
import { familyOf, isPublic, keyOf, siteOf } from '../endpoint.ts'
import { isOwnAddress } from '../port-reuse/route.ts'
import { FRESH_MS, MAX_FLOWS, nextAddresses } from './counting-nat.ts'
import { bestFirst } from './dials.ts'
import { HandOver } from './hand-over.ts'
import { mappingOf } from './nat-mapping.ts'
import { Observations } from './observations.ts'
import { Votes } from './votes.ts'
import type { AutonatComponents } from './autonat.ts'
import type { Flow } from './counting-nat.ts'
import type { HandOverInit, ObservedAddressManager } from './hand-over.ts'
import type { NatMapping } from './nat-mapping.ts'
import type { Agreement } from './votes.ts'
import type { RawConnection } from '../connection/connection.ts'
import type { Endpoint, Family } from '../endpoint.ts'
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
   * minutes ago. If the NAT counts, see `next`: has a peer been dialed in the last second?
   */
  current: boolean

  /**
   * The external addresses of the endpoint. The address that the newest dial shows comes first,
   * then those that other dialed peers name, then those that only inbound peers name. An
   * address is left out as soon as a change of network is known to have made it false
   */
  addresses: ObservedAddress[]

  /**
   * The addresses that the next connections from the endpoint will probably have, if the NAT
   * uses another port for each destination and these ports rise by small steps. Else none
   */
  next: Multiaddr[]
}

/** An external address of a listening endpoint */
export interface ExternalAddress {
  /** The listening endpoint */
  readonly local: Multiaddr

  /** The address at which peers see it */
  readonly external: Multiaddr
}

/** How a NAT maps a listening endpoint */
export interface NatMappingUpdate {
  /** The listening endpoint */
  readonly local: Multiaddr
  readonly mapping: NatMapping
}

/** The events of `reuseportTcp()` and of `portReuse()` */
export interface PortReuseEvents {
  /**
   * A listening endpoint has an external address: a peer that was dialed from the endpoint sees
   * it there, or at least `observedAddressThreshold` observers do. The address need not be
   * dialable. libp2p's `self:peer:update` tells when it is verified and announced
   */
  'external-address:found': CustomEvent<ExternalAddress>

  /**
   * The listening endpoint is not seen at this address any more: ten minutes have passed since
   * the last connection closed whose peer had reported it, the peers have reported another one, newer
   * dials show that the network has changed, or the listener has closed
   */
  'external-address:gone': CustomEvent<ExternalAddress>

  /** The NAT mapping of a listening endpoint is known, has changed, or is `unknown` again */
  'nat-mapping:update': CustomEvent<NatMappingUpdate>
}

/** The parts of libp2p that follow, and verify, observed addresses */
export interface ObservedComponents extends AutonatComponents {
  events?: TypedEventTarget<Libp2pEvents>
  addressManager?: ObservedAddressManager
}

export interface ObservedInit extends Omit<HandOverInit, 'votes' | 'dials'> {
  /** The events of libp2p, which say when a peer is identified */
  events?: TypedEventTarget<Libp2pEvents>

  /** Dispatches the events of this class */
  own: TypedEventTarget<PortReuseEvents>

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

  /** When the connection began to open, in ms. It is only compared to others */
  readonly began: number

  /** Returns the address of this host that the connection was dialed from, while it is open */
  source?(): string | undefined
}

/** What the last events said about a listening endpoint */
interface Told {
  readonly local: Endpoint
  readonly mapping: NatMapping
  readonly addresses: ReadonlyMap<string, Endpoint>
}

/** A connection that was dialed from an ephemeral port */
export interface EphemeralConnection extends Pick<OwnConnection, 'began'> {
  readonly local?: undefined
  readonly dialed: true
}

interface ReportedFlow extends Flow {
  /** The connection, of which the last report counts */
  readonly own: object
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
  readonly #connections = new Map<Connection['timeline'], OwnConnection | EphemeralConnection>()

  /** The last ones of each IP version, in the order in which they began */
  readonly #flows: Record<Family, ReportedFlow[]> = { 4: [], 6: [] }
  readonly #told = new Map<string, Told>()
  readonly #handOver: HandOver

  /** Set while an observation of a closed connection waits to be forgotten */
  #expiry?: ReturnType<typeof setTimeout>

  constructor (init: ObservedInit) {
    this.#init = init
    this.#handOver = new HandOver({
      ...init,
      votes: local => this.#observations.votes(local),
      dials: local => this.#observations.dials(local)
    })
    init.events?.addEventListener('peer:identify', ({ detail }) => {
      this.#logErrors(() => { this.#onIdentify(detail) })
    })
  }

  opened ({ timeline }: Pick<RawConnection, 'timeline'>, own: OwnConnection | EphemeralConnection): void {
    this.#connections.set(timeline, own)
  }

  /** The connection has closed. Later reports of its peer are ignored */
  closed ({ timeline }: Pick<RawConnection, 'timeline'>): void {
    const own = this.#connections.get(timeline)
    this.#connections.delete(timeline)

    // most peers have reported nothing
    if (own?.local == null || !this.#observations.close(own)) {
      return
    }

    this.#tellExpiry()

    if (own.dialed) {
      this.#logErrors(() => { this.#review(own.local) })
    }
  }

  /** Tells what has changed about all listening endpoints, for example when a listener has closed */
  review (): void {
    this.#told.forEach(({ local }) => { this.#tell(local) })
  }

  endpoints (): ObservedEndpoint[] {
    const { threshold } = this.#init

    return this.#observations.endpoints()
      .filter(({ local }) => this.#init.isListening(local))
      .map(({ local, votes }) => {
        const dials = this.#observations.dials(local)
        const flows = this.#flows[familyOf(local.host)]
        const next = nextAddresses(dials, flows)

        return {
          local: toMultiaddr(local),
          mapping: mappingOf(dials, threshold),
          current: next.length > 0 ? flows[flows.length - 1].began > performance.now() - FRESH_MS : this.#observations.isCurrent(local),
          next: next.map(toMultiaddr),
          addresses: bestFirst(votes.addresses, dials).map(({ external, observers, dialed }) => ({
            multiaddr: toMultiaddr(external),
            observers,
            dialed,
            agreed: observers >= threshold
          }))
        }
      })
      .filter(({ addresses }) => addresses.length > 0)
  }

  #onIdentify ({ connection, observedAddr }: Pick<IdentifyResult, 'connection' | 'observedAddr'>): void {
    const own = this.#connections.get(connection.timeline)
    const external = observedAddr == null ? undefined : publicEndpoint(observedAddr)

    if (own == null || external == null) {
      return
    }

    if (own.dialed) {
      this.#noteFlow({ own, external, began: own.began })
    }

    if (own.local == null || familyOf(external.host) !== familyOf(own.local.host)) {
      return
    }

    const { local, remote, dialed, began } = own

    if (this.#init.isListening(local)) {
      const source = own.source?.()
      const counts = this.#observations.add(own, {
        local,
        external,
        observer: siteOf(remote.host),
        dialed,
        began,
        source: source != null && isOwnAddress(source) ? source : undefined
      })
      this.#init.log('%a observes %s:%d as %a%s', connection.remoteAddr, local.host, local.port, observedAddr, counts ? '' : ', which does not count: its host has changed its word too often')
    }

    this.#review(local)
  }

  #noteFlow (flow: ReportedFlow): void {
    const family = familyOf(flow.external.host)
    const others = this.#flows[family].filter(({ own }) => own !== flow.own)

    this.#flows[family] = [...others, flow].sort((a, b) => a.began - b.began).slice(-MAX_FLOWS)
  }

  /** For callers that have nothing to do with what peers observe */
  #logErrors (use: () => void): void {
    try {
      use()
    } catch (err) {
      this.#init.log('could not use what a peer observed - %e', err)
    }
  }

  /** Must be called after each change of what is known about an endpoint */
  #review (local: Endpoint): void {
    this.#tell(local)
    this.#handOver.review(local)
  }

  /** Tells what has changed about a listening endpoint since the last time */
  #tell (local: Endpoint): void {
    const { threshold, isListening, log, own } = this.#init
    const key = keyOf(local)
    const [votes, dials] = isListening(local) ? [this.#observations.votes(local), this.#observations.dials(local)] : [new Votes(), []]
    const mapping = mappingOf(dials, threshold)
    // a single inbound peer can name any address. In the order of the votes these are the last ones
    const end = votes.addresses.findIndex(({ dialed, observers }) => dialed === 0 && observers < threshold)
    const believed = end === -1 ? votes.addresses : votes.addresses.slice(0, end)
    const addresses = new Map(bestFirst(believed, dials).map(({ external }) => [keyOf(external), external]))
    const last: Told = this.#told.get(key) ?? { local, mapping: 'unknown', addresses: new Map() }

    // before the events, as their listeners may cause the next call
    if (addresses.size === 0 && mapping === 'unknown') {
      this.#told.delete(key)
    } else {
      this.#told.set(key, { local, mapping, addresses })
    }

    missingIn(addresses, last.addresses).forEach(external => {
      own.safeDispatchEvent<ExternalAddress>('external-address:gone', { detail: { local: toMultiaddr(local), external: toMultiaddr(external) } })
    })
    missingIn(last.addresses, addresses).forEach(external => {
      own.safeDispatchEvent<ExternalAddress>('external-address:found', { detail: { local: toMultiaddr(local), external: toMultiaddr(external) } })
    })

    if (mapping !== last.mapping) {
      log('the NAT mapping of %s:%d is %s', local.host, local.port, mapping)
      own.safeDispatchEvent<NatMappingUpdate>('nat-mapping:update', { detail: { local: toMultiaddr(local), mapping } })
    }
  }

  /** Tells what has changed when the next observation is forgotten */
  #tellExpiry (): void {
    const ms = this.#expiry == null ? this.#observations.msToExpiry() : undefined

    if (ms != null) {
      this.#expiry = setTimeout(() => {
        this.#expiry = undefined
        this.review()
        this.#tellExpiry()
      }, ms).unref()
    }
  }
}

/** The endpoints of `all` that are not among `some` */
function missingIn (some: ReadonlyMap<string, Endpoint>, all: ReadonlyMap<string, Endpoint>): Endpoint[] {
  return [...all].filter(([key]) => !some.has(key)).map(([, endpoint]) => endpoint)
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
