/**
 * @packageDocumentation
 *
 * Hole punching over TCP: `@libp2p/dcutr`, given what it needs to succeed. Its
 * protocol code stays as it is; three things around it are different:
 *
 * - the addresses that peers observed are offered as candidates, although nobody
 * could verify them: behind a NAT nobody can, before the hole is punched
 * - the punch comes from the listening port, which is the one that was observed,
 * and each end keeps its role in it
 * - a direct connection counts however it came about: by simultaneous open, or
 * because one end's SYN reached the other end's listener
 *
 * @example
 *
 * ```TypeScript
 * import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
 * import { identify } from '@libp2p/identify'
 * import { createLibp2p } from 'libp2p'
 * import { reuseportTcp } from 'libp2p-reuseport-tcp'
 * import { dcutr } from 'libp2p-reuseport-tcp/dcutr'
 *
 * const node = await createLibp2p({
 *   addresses: {
 *     listen: ['/ip4/0.0.0.0/tcp/4001', '/p2p-circuit']
 *   },
 *   transports: [
 *     reuseportTcp(),
 *     circuitRelayTransport()
 *   ],
 *   services: {
 *     identify: identify(),
 *     dcutr: dcutr()
 *   }
 * })
 * ```
 */

import { DialError, InvalidParametersError, serviceDependencies, start, stop } from '@libp2p/interface'
import { Queue, tryGetNetConfig } from '@libp2p/utils'
import { CODE_P2P } from '@multiformats/multiaddr'
import { Circuit } from '@multiformats/multiaddr-matcher'
import { CONNECTION_ATTEMPT_DELAY_MS, race } from '../dialing/race.ts'
import { candidates } from './candidates.ts'
import { AddressLearner } from './learn-address.ts'
import { wrapDcutr } from './libp2p-dcutr.ts'
import { punch } from './punch.ts'
import { PLAIN_DIAL_MS } from './time-limits.ts'
import type { DcutrDial } from './libp2p-dcutr.ts'
import type { NatMapping } from '../observed/nat-mapping.ts'
import type { ObservedEndpoint } from '../observed/observed.ts'
import type { ReuseportTcpDialOptions } from '../options.ts'
import type { DCUtRServiceComponents, DCUtRServiceInit } from '@libp2p/dcutr'
import type { Connection, ConnectionGater, CounterGroup, Libp2pEvents, Logger, Metrics, PeerId, Startable, Transport } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { TypedEventTarget } from 'main-event'

export type { DCUtRServiceInit } from '@libp2p/dcutr'

/** What the service needs of libp2p */
export interface DcutrComponents extends DCUtRServiceComponents {
  peerId: PeerId
  connectionGater?: ConnectionGater
  events: TypedEventTarget<Libp2pEvents>
  metrics?: Metrics
}

/** The hole punching service */
export interface Dcutr {
  /** The addresses that peers are asked to dial in a hole punch */
  candidates(): Multiaddr[]

  /** How the NAT in front of us maps the listening endpoints, by multiaddr */
  natMappings(): Record<string, NatMapping>
}

/** How many addresses of a peer are dialed at most: it may name anybody's */
const MAX_DIALS = 8

/**
 * How many dials the service may have under way at a time, plain ones and punches
 * together: as many as libp2p's own dial queue (`maxParallelDials`). Peers choose what is
 * dialed, so they must not choose how much
 */
const MAX_PARALLEL_DIALS = 100

/**
 * How many relayed connections we coordinate a hole punch for at a time. The others wait
 * before they begin: once addresses are exchanged, both ends have to dial at the same moment
 */
const MAX_COORDINATED = 8

/**
 * How many relayed connections wait for that, or have their turn, at most: as many as
 * libp2p's own dial queue has room for (`maxDialQueueLength`)
 */
const MAX_WAITING = 500

/**
 * How many dials there may be in the punches that peers coordinate: those that are left when
 * we coordinate as many as we may
 */
const MAX_FOLLOWED_DIALS = MAX_PARALLEL_DIALS - MAX_COORDINATED * MAX_DIALS

/** How a dial chooses its port and role: options of `reuseportTcp()` that libp2p hands on to it */
type PortAndRole = Pick<ReuseportTcpDialOptions, 'reusePort' | 'initiator'>

/**
 * Creates the service, to be given to `createLibp2p`. It takes the options of
 * `@libp2p/dcutr` and needs `reuseportTcp()` among the transports
 *
 * @throws {InvalidParametersError} when the node starts without `reuseportTcp()`
 */
export function dcutr (init: DCUtRServiceInit = {}): (components: DcutrComponents) => Dcutr {
  return components => new DcutrService(components, init)
}

class DcutrService implements Dcutr, Startable {
  readonly [Symbol.toStringTag] = 'libp2p-reuseport-tcp/dcutr'
  readonly [serviceDependencies]: string[] = ['@libp2p/identify']

  readonly #components: DcutrComponents
  readonly #log: Logger
  readonly #punches?: CounterGroup
  readonly #service: unknown
  readonly #learner: AddressLearner

  /** The relayed connections that we coordinate a punch for, or are going to */
  readonly #coordinated = new Set<Connection>()
  readonly #coordinations = new Queue({ concurrency: MAX_COORDINATED, maxSize: MAX_WAITING })
  #followedDials = 0

  constructor (components: DcutrComponents, init: DCUtRServiceInit) {
    const { logger, metrics } = components

    this.#components = components
    this.#log = logger.forComponent('libp2p:reuseport-tcp:dcutr')
    this.#punches = metrics?.registerCounterGroup('libp2p_reuseport_tcp_hole_punches_total', {
      label: 'result',
      help: 'Hole punches attempted, succeeded, and failed by reason, those that had to wait, and those before which we had to learn our address'
    })
    this.#learner = new AddressLearner({
      components,
      log: this.#log,
      isKnown: family => this.#observed().some(({ local, current }) => current && tryGetNetConfig(local)?.type === `ip${family}`),
      dialable: async (multiaddrs, peer) => this.#dialable(multiaddrs, peer),
      onResult: result => { this.#punches?.increment({ [result]: true }) }
    })
    this.#service = wrapDcutr(components, init, {
      candidates: () => this.candidates(),
      coordinate: async (relayed, run) => this.#coordinate(relayed, run),
      follow: async (relayed, run) => this.#follow(relayed, run),
      dial: async (what, relayed, multiaddrs, signal) => this.#dial(what, relayed.remotePeer, multiaddrs, signal)
    })
  }

  async start (): Promise<void> {
    if (this.#transport() == null) {
      throw new InvalidParametersError('libp2p-reuseport-tcp/dcutr needs reuseportTcp() among the transports')
    }

    this.#components.events.addEventListener('connection:open', this.#onOpen)
    await start(this.#service)
  }

  async stop (): Promise<void> {
    this.#components.events.removeEventListener('connection:open', this.#onOpen)
    await stop(this.#service)
  }

  /**
   * The peer of a relayed connection that we have dialed is going to ask for our addresses. It
   * measures the round trip by our answer, so the addresses must be known by then
   */
  readonly #onOpen = ({ detail: connection }: CustomEvent<Connection>): void => {
    if (Circuit.matches(connection.remoteAddr) && connection.direction === 'outbound') {
      void this.#learner.learn(connection)
    }
  }

  candidates (): Multiaddr[] {
    const { addressManager, peerId } = this.#components

    return candidates({ announced: addressManager.getAddresses(), observed: this.#observed(), peerId })
  }

  natMappings (): Record<string, NatMapping> {
    return Object.fromEntries(this.#observed().map(({ local, mapping }) => [local.toString(), mapping]))
  }

  /**
   * Waits for its turn, and is dropped if the relayed connection closes meanwhile
   *
   * @throws {QueueFullError}
   * @throws {AbortError}
   */
  async #coordinate (relayed: Connection, run: () => Promise<void>): Promise<void> {
    // libp2p calls onConnect again with each identify push
    if (this.#coordinated.has(relayed)) {
      return
    }

    const gone = new AbortController()
    const onClose = (): void => { gone.abort() }
    relayed.addEventListener('close', onClose)
    this.#coordinated.add(relayed)

    if (this.#coordinations.size >= MAX_COORDINATED) {
      this.#punches?.increment({ waited: true })
      this.#log('%d hole punches are before the one to %p', this.#coordinations.size, relayed.remotePeer)
    }

    try {
      await this.#coordinations.add(async () => {
        // one that has begun is not dropped when the relayed connection closes
        relayed.removeEventListener('close', onClose)
        await this.#learner.learn(relayed)
        await run()
      }, { signal: gone.signal })
    } catch (err: any) {
      if (err.name === 'QueueFullError') {
        this.#punches?.increment({ failed_busy: true })
      }

      throw err
    } finally {
      relayed.removeEventListener('close', onClose)
      this.#coordinated.delete(relayed)
    }
  }

  /**
   * Whoever was dialed coordinates (relay/DCUtR.md), so nobody makes us dial that we did not
   * look for
   *
   * @throws {DialError}
   */
  async #follow (relayed: Connection, run: () => Promise<void>): Promise<void> {
    if (!Circuit.matches(relayed.remoteAddr) || relayed.direction !== 'outbound') {
      throw new DialError(`${relayed.remotePeer} wants to coordinate a hole punch over ${relayed.remoteAddr} (${relayed.direction})`)
    }

    await this.#learner.learn(relayed)
    await run()
  }

  async #dial (what: DcutrDial, peer: PeerId, multiaddrs: Multiaddr[], signal: AbortSignal): Promise<Connection> {
    const dialable = await this.#dialable(multiaddrs, peer)

    switch (what) {
      case 'plain':
        return this.#dialPlainly(dialable, AbortSignal.any([signal, AbortSignal.timeout(PLAIN_DIAL_MS)]))
      case 'responder':
        return this.#punch(dialable, peer, what, signal)
      default:
        return this.#punchIfRoom(dialable, peer, what, signal)
    }
  }

  /**
   * Punches that a peer coordinates can't wait
   *
   * @throws {DialError} if there are too many of them
   */
  async #punchIfRoom (dialable: Multiaddr[], peer: PeerId, role: 'initiator', signal: AbortSignal): Promise<Connection> {
    if (this.#followedDials + dialable.length > MAX_FOLLOWED_DIALS) {
      this.#punches?.increment({ failed_busy: true })
      throw new DialError(`Too many hole punches at once to begin one to ${peer}`)
    }

    this.#followedDials += dialable.length

    try {
      return await this.#punch(dialable, peer, role, signal)
    } finally {
      this.#followedDials -= dialable.length
    }
  }

  /**
   * The addresses that are the peer's and that we may dial, with its peer id:
   * some peers leave it out, but nobody else must answer
   */
  async #dialable (multiaddrs: Multiaddr[], peer: PeerId): Promise<Multiaddr[]> {
    const { connectionGater } = this.#components
    const dialable: Multiaddr[] = []

    if (await connectionGater?.denyDialPeer?.(peer) === true) {
      throw new DialError(`The connection gater denies dialing ${peer}`)
    }

    for (const ma of multiaddrs) {
      const id = ma.getComponents().find(({ code }) => code === CODE_P2P)?.value

      if (dialable.length < MAX_DIALS && (id == null || id === peer.toString()) && await connectionGater?.denyDialMultiaddr?.(ma) !== true) {
        dialable.push(id == null ? ma.encapsulate(`/p2p/${peer}`) : ma)
      }
    }

    if (dialable.length === 0) {
      throw new DialError(`None of the addresses of ${peer} may be dialed`)
    }

    return dialable
  }

  /**
   * Dials from an ephemeral port. A dial that nobody answers leaves an entry in our NAT. With
   * one for the listening port, the peer's SYN of the punch may get in before ours has left;
   * our listener answers with a SYN-ACK, which the NAT drops, as it does not go with the entry
   * of a SYN that was sent from inside
   */
  async #dialPlainly (multiaddrs: Multiaddr[], signal: AbortSignal): Promise<Connection> {
    return race(multiaddrs.map(ma => async (signal: AbortSignal) => this.#dialDirectly(ma, signal, { reusePort: false })), {
      delay: CONNECTION_ATTEMPT_DELAY_MS,
      signal,
      discard: connection => { connection.close().catch(err => { connection.abort(err) }) }
    })
  }

  async #punch (multiaddrs: Multiaddr[], peer: PeerId, role: 'initiator' | 'responder', signal: AbortSignal): Promise<Connection> {
    const { connectionManager, events } = this.#components
    this.#punches?.increment({ attempted: true })
    this.#log('punching a hole to %p as %s: %a', peer, role, multiaddrs)

    try {
      const connection = await punch({
        peer,
        dials: multiaddrs.map(ma => async (signal: AbortSignal) => this.#dialDirectly(ma, signal, { initiator: role === 'initiator', reusePort: 'require' })),
        open: () => connectionManager.getConnections(peer),
        events,
        signal
      })
      this.#punches?.increment({ succeeded: true })
      this.#log('connected to %p directly, %a', peer, connection.remoteAddr)

      return connection
    } catch (err: any) {
      this.#punches?.increment({ [`failed_${reasonOf(err)}`]: true })
      this.#log('no hole to %p - %e', peer, err)

      if (Object.values(this.natMappings()).includes('endpoint-dependent')) {
        this.#log('the NAT maps us to another endpoint for each destination, so only peers that anybody can reach can be connected to directly. %p stays on the relay', peer)
      }

      throw err
    }
  }

  /** Not by the connection manager: its dial queue drops the options */
  async #dialDirectly (ma: Multiaddr, signal: AbortSignal, portAndRole: PortAndRole): Promise<Connection> {
    const options: PortAndRole & { signal: AbortSignal } = { signal, ...portAndRole }

    return this.#components.transportManager.dial(ma, options)
  }

  #observed (): ObservedEndpoint[] {
    return this.#transport()?.observed() ?? []
  }

  #transport (): ObservingTransport | undefined {
    return this.#components.transportManager.getTransports()
      .find((transport): transport is ObservingTransport => transport[Symbol.toStringTag] === 'libp2p-reuseport-tcp')
  }
}

/** What is used of `reuseportTcp()` itself */
interface ObservingTransport extends Transport {
  observed(): ObservedEndpoint[]
}

function reasonOf ({ name, code }: NodeJS.ErrnoException): 'timeout' | 'refused' | 'error' {
  if (name === 'AbortError' || name === 'TimeoutError' || code === 'ETIMEDOUT') {
    return 'timeout'
  }

  return code === 'ECONNREFUSED' || code === 'ECONNRESET' ? 'refused' : 'error'
}
