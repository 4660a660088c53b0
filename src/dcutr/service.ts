/**
 * @packageDocumentation
 *
 * Hole punching over TCP, based on `@libp2p/dcutr`. Its protocol code is used unchanged. Three
 * things are different:
 *
 * - The addresses that peers observed are offered as candidates, although they are not
 * verified. Behind a NAT they can't be verified before the hole is punched.
 * - The punch comes from the listening port, as peers observed this port. Each end keeps its
 * role.
 * - Any direct connection counts: one from a simultaneous open, and one whose SYN reached a
 * listener of the other end.
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

import { dcutr as libp2pDcutr } from '@libp2p/dcutr'
import { DialError, serviceDependencies, start, stop } from '@libp2p/interface'
import { tryGetNetConfig } from '@libp2p/utils'
import { Circuit } from '@multiformats/multiaddr-matcher'
import { TypedEventEmitter } from 'main-event'
import { throwIfAborted, withSignals } from '../abort.ts'
import { COUNT, DELAY, checkIsCalled, checkOptions, isWithin } from '../check-options.ts'
import { findTransport } from '../find-transport.ts'
import { PLAIN_DIAL_MS } from '../upgrading/time-limits.ts'
import { candidates } from './candidates.ts'
import { isDirect, untilAnswered, whileOpen } from './connections.ts'
import { findBreach } from './contract.ts'
import { DirectDials } from './direct-dials.ts'
import { failureOf, reasonOf } from './events.ts'
import { AddressLearner } from './learn-address.ts'
import { wrapDcutr } from './libp2p-dcutr.ts'
import { punchLimits } from './punch-limits.ts'
import { punch } from './punch.ts'
import { FailedPeers, Turns } from './turns.ts'
import type { DcutrEvents, HolePunchAttempt, HolePunchEnd, Progress } from './events.ts'
import type { Procedure, WantedPunch } from './libp2p-dcutr.ts'
import type { PunchDial } from './punch.ts'
import type { Asker } from './turns.ts'
import type { Rules } from '../check-options.ts'
import type { NatMapping } from '../observed/nat-mapping.ts'
import type { ObservedEndpoint } from '../observed/observed.ts'
import type { ReuseportTcpTransport } from '../transport.ts'
import type { Role } from '../upgrading/roles.ts'
import type { DCUtRServiceComponents, DCUtRServiceInit } from '@libp2p/dcutr'
import type { Connection, ConnectionGater, CounterGroup, Libp2pEvents, Logger, Metrics, PeerId, Startable } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { TypedEventTarget } from 'main-event'

export type { DcutrEvents, HolePunchAttempt, HolePunchEnd, HolePunchFailure, HolePunchResult } from './events.ts'
export type { Role } from '../upgrading/roles.ts'
export type { DCUtRServiceInit } from '@libp2p/dcutr'

/** What the service needs of libp2p */
export interface DcutrComponents extends DCUtRServiceComponents {
  peerId: PeerId
  connectionGater?: ConnectionGater
  events: TypedEventTarget<Libp2pEvents>
  metrics?: Metrics
}

/** The hole punching service. Its events tell how each hole punch ends */
export interface Dcutr extends TypedEventTarget<DcutrEvents> {
  /** The addresses that peers are asked to dial in a hole punch */
  candidates(): Multiaddr[]

  /** How the NAT in front of this node maps the listening endpoints, by multiaddr */
  natMappings(): Record<string, NatMapping>
}

/**
 * The shortest time between two coordinated punches over the same relayed connection, in ms.
 * libp2p asks for a punch at each identify push, and a peer can send these as often as it likes
 */
const COORDINATE_AGAIN_MS = 60_000

const RULES: Rules<DCUtRServiceInit> = {
  timeout: DELAY,
  retries: { must: 'an integer from 0', isMet: value => Number.isInteger(value) && isWithin(value, 0, Infinity) },
  maxInboundStreams: COUNT,
  maxOutboundStreams: COUNT
}

/**
 * Creates the service for `createLibp2p`. It takes the options of `@libp2p/dcutr` and needs
 * `reuseportTcp()` among the transports
 *
 * @throws {InvalidParametersError} if an option does not exist or has a value that can't be
 * used, and when the node starts without `reuseportTcp()`
 */
export function dcutr (init: DCUtRServiceInit = {}): (components: DcutrComponents) => Dcutr {
  checkIsCalled(init, 'dcutr')
  const checked = checkOptions(init, RULES)

  return components => new DcutrService(components, checked)
}

class DcutrService extends TypedEventEmitter<DcutrEvents> implements Dcutr, Startable {
  readonly [Symbol.toStringTag] = 'libp2p-reuseport-tcp/dcutr'
  readonly [serviceDependencies]: string[] = ['@libp2p/identify']

  readonly #components: DcutrComponents
  readonly #init: DCUtRServiceInit
  readonly #log: Logger
  readonly #punches?: CounterGroup

  /** `@libp2p/dcutr`, since the first start */
  #service: unknown
  readonly #learner: AddressLearner

  /** `turns.ts` explains these limits */
  readonly #failed = new FailedPeers()
  readonly #exchanges = new Turns({ all: 256, ofRelay: 128, ofPeer: 1, waiting: 500, waitingOfPeer: 1 }, this.#failed)
  readonly #dials: DirectDials

  /** When this node began to coordinate a punch over a relayed connection, in ms */
  readonly #coordinated = new WeakMap<Connection, number>()

  /** The hole punch over each relayed connection */
  readonly #progress = new WeakMap<Connection, Progress>()

  /** Aborts when the service stops. Each start makes a new one; before that it is aborted */
  #stopped = new AbortController()

  constructor (components: DcutrComponents, init: DCUtRServiceInit) {
    super()
    const { logger, metrics } = components

    this.#stopped.abort()
    this.#components = components
    this.#init = init
    this.#log = logger.forComponent('libp2p:reuseport-tcp:dcutr')
    this.#punches = metrics?.registerCounterGroup('libp2p_reuseport_tcp_hole_punches_total', {
      label: 'result',
      help: 'Hole punches attempted, succeeded, and failed by reason, those that had to wait, and those before which we had to learn our address'
    })
    this.#dials = new DirectDials(components, this.#failed)
    this.#learner = new AddressLearner({
      components,
      log: this.#log,
      isKnown: family => this.#observed().some(({ local, current }) => current && tryGetNetConfig(local)?.type === `ip${family}`),
      isCounting: family => this.#observed().some(({ local, next }) => next.length > 0 && tryGetNetConfig(local)?.type === `ip${family}`),
      dial: async (peer, multiaddrs, options) => this.#dials.first(peer, multiaddrs, options),
      onResult: result => { this.#punches?.increment({ [result]: true }) }
    })
  }

  async start (): Promise<void> {
    this.#transport()

    if (!this.#stopped.signal.aborted) {
      return
    }

    this.#stopped = new AbortController()
    this.#components.events.addEventListener('connection:open', this.#onOpen)
    this.#service ??= await this.#createService()
    await start(this.#service)
  }

  /** Ends all that the service has begun: waits, exchanges, lookups, dials */
  async stop (): Promise<void> {
    this.#stopped.abort()
    this.#components.events.removeEventListener('connection:open', this.#onOpen)
    await stop(this.#service)
  }

  /** Uses `@libp2p/dcutr` without any change if it does not do what this package relies on */
  async #createService (): Promise<unknown> {
    const breach = await findBreach()

    if (breach != null) {
      this.#log.error('this version of @libp2p/dcutr is not the one that libp2p-reuseport-tcp/dcutr knows (%s). It runs without the changes of this package, so most hole punches will fail. Install @libp2p/dcutr 3.0.28, or a newer libp2p-reuseport-tcp', breach)

      return libp2pDcutr(this.#init)(this.#components)
    }

    return wrapDcutr(this.#components, this.#init, {
      candidates: () => this.candidates(),
      coordinate: async (relayed, run) => this.#coordinate(relayed, run),
      follow: async (relayed, run) => this.#follow(relayed, run),
      dialPlainly: (relayed, multiaddrs) => { this.#dialPlainly(relayed, multiaddrs) },
      punch: async (wanted, signal) => this.#punch(wanted, signal)
    })
  }

  /**
   * The peer of a relayed connection that this node dialed will ask for this node's addresses.
   * The peer measures the round trip by the answer, which must not be late. So the addresses
   * are learned before
   */
  readonly #onOpen = ({ detail: connection }: CustomEvent<Connection>): void => {
    if (Circuit.matches(connection.remoteAddr) && connection.direction === 'outbound') {
      void this.#learner.learn(connection, this.#stopped.signal)
    }
  }

  candidates (): Multiaddr[] {
    const { addressManager, peerId } = this.#components

    return candidates({ announced: addressManager.getAddresses(), observed: this.#observed(), peerId })
  }

  natMappings (): Record<string, NatMapping> {
    return Object.fromEntries(this.#observed().map(({ local, mapping }) => [local.toString(), mapping]))
  }

  /** Waits for a turn. A wait is dropped if the relayed connection closes meanwhile */
  async #coordinate (relayed: Connection, run: Procedure): Promise<void> {
    const last = this.#coordinated.get(relayed) ?? -Infinity

    if (Date.now() - last < COORDINATE_AGAIN_MS) {
      return
    }

    const stopped = this.#stopped.signal
    const asker = askerOf(relayed)
    this.#coordinated.set(relayed, Date.now())

    if (!this.#exchanges.hasRoom(asker)) {
      this.#countWait(asker)
    }

    try {
      // an exchange that has begun is not dropped when the relayed connection closes
      await whileOpen(relayed, [stopped], async signal => this.#exchanges.run(asker, signal, async () => this.#attempt('responder', relayed, run, stopped)))
    } catch (err: any) {
      if (err.name !== 'QueueFullError') {
        throw err
      }

      this.#punches?.increment({ failed_busy: true })
      this.#log('no hole punch over %a - %e', relayed.remoteAddr, err)
      this.#coordinated.delete(relayed)
      this.#tellEnd('responder', relayed, Date.now(), { why: 'busy', message: err.message })
    }
  }

  /**
   * The end that was dialed coordinates (relay/DCUtR.md). So only peers that this node has
   * dialed can make it dial
   *
   * @throws {DialError}
   */
  async #follow (relayed: Connection, run: Procedure): Promise<void> {
    if (!Circuit.matches(relayed.remoteAddr) || relayed.direction !== 'outbound') {
      throw new DialError(`${relayed.remotePeer} wants to coordinate a hole punch over ${relayed.remoteAddr} (${relayed.direction})`)
    }

    await this.#attempt('initiator', relayed, run, this.#stopped.signal)
  }

  #countWait ({ peer }: Asker): void {
    this.#punches?.increment({ waited: true })
    this.#log('the hole punch to %s waits for others to end', peer)
  }

  /** Runs a procedure, remembers whether there is a direct connection after it, and tells it */
  async #attempt (role: Role, relayed: Connection, run: Procedure, stopped: AbortSignal): Promise<void> {
    const { peer } = askerOf(relayed)
    const started = Date.now()
    const progress = this.#progressOf(relayed)
    let error: Error | undefined

    progress.connection = undefined
    progress.error = undefined

    const existing = this.#directConnection(relayed.remotePeer)

    if (existing != null) {
      this.#replace(relayed, async () => existing)
    }

    try {
      await this.#learner.learn(relayed, stopped)
      throwIfAborted(stopped)
      await run(stopped)
    } catch (err: any) {
      error = err
      throw err
    } finally {
      if (this.#directConnection(relayed.remotePeer) != null) {
        this.#failed.delete(peer)
      } else if (!stopped.aborted) {
        this.#failed.add(peer)
      }

      this.#tellEnd(role, relayed, started, failureOf(progress, stopped, error))
    }
  }

  /** `failure` is only used if there is no direct connection */
  #tellEnd (role: Role, relayed: Connection, started: number, failure: ReturnType<typeof failureOf>): void {
    const peer = relayed.remotePeer
    const { attempts, connection = this.#directConnection(peer) } = this.#progressOf(relayed)
    const ended = connection?.timeline.upgraded ?? Date.now()
    const detail: HolePunchEnd = {
      peer,
      role,
      attempts,
      // a direct connection may be older than the hole punch
      ms: Math.max(ended - started, 0),
      result: connection == null ? { kind: 'failed', ...failure } : { kind: 'succeeded', connection }
    }

    this.safeDispatchEvent('hole-punch:end', { detail })
  }

  #progressOf (relayed: Connection): Progress {
    const progress = this.#progress.get(relayed) ?? { attempts: 0 }
    this.#progress.set(relayed, progress)

    return progress
  }

  /**
   * Dials the addresses that the peer announces. Nothing waits for these dials: the peer may
   * announce addresses that nobody answers
   */
  #dialPlainly (relayed: Connection, multiaddrs: Multiaddr[]): void {
    const peer = relayed.remotePeer

    if (this.#directConnection(peer) == null) {
      this.#replace(relayed, async signal => this.#dials.plain({ peer, asker: askerOf(relayed), multiaddrs, signal }))
    }
  }

  /**
   * Closes a relayed connection as soon as the peer answers over a direct one. Gives up after
   * {@link PLAIN_DIAL_MS}, or when a hole punch was faster and has closed the relayed connection
   */
  #replace (relayed: Connection, open: (signal: AbortSignal) => Promise<Connection>): void {
    const { peer } = askerOf(relayed)

    whileOpen(relayed, [this.#stopped.signal, AbortSignal.timeout(PLAIN_DIAL_MS)], async signal => {
      const direct = await open(signal)
      await untilAnswered(direct, signal)
      this.#failed.delete(peer)
      this.#log('%s answers at %a without a hole punch', peer, direct.remoteAddr)
      await relayed.close()
    }).catch(err => { this.#log('%s does not answer without a hole punch - %e', peer, err) })
  }

  #directConnection (peer: PeerId): Connection | undefined {
    return this.#components.connectionManager.getConnections(peer).find(isDirect)
  }

  /** Opens a direct connection to the peer of a relayed connection, or fails */
  async #punch (wanted: WantedPunch, signal: AbortSignal): Promise<Connection> {
    const { role, relayed, roundTrip } = wanted
    const peer = relayed.remotePeer
    const multiaddrs = await this.#dials.select(peer, wanted.multiaddrs)
    const progress = this.#progressOf(relayed)

    progress.attempts++
    this.#punches?.increment({ attempted: true })
    this.#log('punching a hole to %p as %s, %d ms away: %a', peer, role, roundTrip, multiaddrs)
    this.safeDispatchEvent<HolePunchAttempt>('hole-punch:attempt', { detail: { peer, role, attempt: progress.attempts, multiaddrs } })

    try {
      const connection = await this.#connect({ ...wanted, multiaddrs }, signal)
      progress.connection = connection
      this.#punches?.increment({ succeeded: true })
      this.#log('connected to %p directly, %a', peer, connection.remoteAddr)

      return connection
    } catch (err: any) {
      progress.error = err
      this.#punches?.increment({ [`failed_${reasonOf(err)}`]: true })
      this.#log('no hole to %p - %e', peer, err)

      if (Object.values(this.natMappings()).includes('endpoint-dependent')) {
        this.#log('the NAT maps us to another endpoint for each destination, so only peers that anybody can reach can be connected to directly. %p stays on the relay', peer)
      }

      throw err
    }
  }

  /**
   * Punches, and waits until the peer has answered over the direct connection. Only then may the
   * relayed connection be closed
   */
  async #connect ({ role, relayed, multiaddrs, roundTrip, limit }: WantedPunch, stopped: AbortSignal): Promise<Connection> {
    const peer = relayed.remotePeer
    const asker = askerOf(relayed)
    const limits = punchLimits(role, roundTrip)
    const signals = [stopped, ...limit == null ? [] : [limit]]
    const existing = this.#directConnection(peer)
    // it may be dead. So it is only one of the ways, until the peer answers over it
    const answers: PunchDial[] = existing == null
      ? []
      : [async signal => {
          await untilAnswered(existing, signal)

          return existing
        }]

    if (!this.#dials.hasRoom(asker, role)) {
      this.#countWait(asker)
    }

    const connection = await withSignals(signals, async signal => punch({
      relayed,
      dials: [...this.#dials.dialsOf({ peer, asker, multiaddrs, role, signal: stopped }), ...answers],
      limits,
      events: this.#components.events,
      signal
    }))

    await withSignals([...signals, AbortSignal.timeout(limits.answering)], async signal => untilAnswered(connection, signal))

    return connection
  }

  #observed (): ObservedEndpoint[] {
    return this.#transport().observed()
  }

  /** @throws {InvalidParametersError} if the node does not have `reuseportTcp()` */
  #transport (): ReuseportTcpTransport {
    return findTransport(this.#components.transportManager, 'libp2p-reuseport-tcp/dcutr')
  }
}

function askerOf ({ remoteAddr, remotePeer }: Connection): Asker {
  const [relay] = remoteAddr.toString().split('/p2p-circuit')

  // a relay may have several addresses, but it has one peer id
  return { peer: remotePeer.toString(), relay: relay.split('/p2p/').at(-1) ?? relay }
}
