import { TypedEventEmitter } from 'main-event'
import { findTransport } from './find-transport.ts'
import type { ObservedEndpoint, PortReuseEvents } from './observed/observed.ts'
import type { SourcePort } from './options.ts'
import type { PortReuseSupport } from './port-reuse/port-reuse.ts'
import type { ReuseportTcpTransport } from './transport.ts'
import type { Connection, Startable, Transport } from '@libp2p/interface'
import type { TypedEventTarget } from 'main-event'

/** What the service needs of libp2p */
export interface PortReuseComponents {
  transportManager: { getTransports(): Transport[] }
}

/** Tells how the node's `reuseportTcp()` reuses ports, and what peers see. Its events tell changes */
export interface PortReuseService extends TypedEventTarget<PortReuseEvents> {
  /**
   * How ports are reused on this machine, or why they are not. The answer can change if the
   * reason passes. It does not depend on the option `reusePort`
   */
  support(): PortReuseSupport

  /**
   * The listening endpoints, the addresses at which peers see them, and how a NAT maps them. A
   * report counts while the peer is connected and ten minutes longer
   */
  observed(): ObservedEndpoint[]

  /**
   * Where a connection was dialed from. `undefined` for an inbound connection, and for one that
   * another transport has dialed
   */
  sourcePort(connection: Connection): SourcePort | undefined
}

/** All events of the transport */
const EVENTS: Record<keyof PortReuseEvents, true> = {
  'external-address:found': true,
  'external-address:gone': true,
  'nat-mapping:update': true
}

export class PortReuseStatus extends TypedEventEmitter<PortReuseEvents> implements PortReuseService, Startable {
  readonly [Symbol.toStringTag] = 'libp2p-reuseport-tcp/port-reuse'

  readonly #components: PortReuseComponents

  constructor (components: PortReuseComponents) {
    super()
    this.#components = components
  }

  /**
   * libp2p makes transports before services, but it does not promise that. At the start it has made
   * all of them
   *
   * @throws {InvalidParametersError} if `reuseportTcp()` is not among the transports
   */
  start (): void {
    const transport = this.#transport()

    // after a restart this adds nothing, as the listener is the same
    for (const type of Object.keys(EVENTS) as Array<keyof PortReuseEvents>) {
      transport.addEventListener(type, this.#dispatchAgain)
    }
  }

  /** The last addresses are gone when the listeners close, so the events stay */
  stop (): void {}

  support (): PortReuseSupport {
    return this.#transport().portReuse()
  }

  observed (): ObservedEndpoint[] {
    return this.#transport().observed()
  }

  sourcePort (connection: Connection): SourcePort | undefined {
    return this.#transport().sourcePort(connection)
  }

  readonly #dispatchAgain = ({ type, detail }: CustomEvent): void => {
    this.dispatchEvent(new CustomEvent(type, { detail }))
  }

  /** @throws {InvalidParametersError} if `reuseportTcp()` is not among the transports */
  #transport (): ReuseportTcpTransport {
    return findTransport(this.#components.transportManager, 'portReuse()')
  }
}
