import { toConnection } from '../connection/connection.ts'
import type { ConnectionFollower, RawConnection } from '../connection/connection.ts'
import type { Endpoint } from '../endpoint.ts'
import type { ListenerMetrics } from '../metrics.ts'
import type { RoleUpgrader } from '../upgrading/upgrade.ts'
import type { ComponentLogger, Logger, Upgrader } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Socket } from 'node:net'

export interface AcceptInit {
  upgrader: Upgrader
  upgrading: RoleUpgrader
  logger: ComponentLogger
  inactivityTimeout: number
  allowHalfOpen: boolean

  /** Follows a connection that arrived at a TCP port */
  follow(local: Endpoint, remote: Endpoint): ConnectionFollower
}

/** Where a socket was accepted */
export interface AcceptedAt {
  readonly ma: Multiaddr

  /** Undefined for a unix socket */
  readonly endpoint?: Endpoint

  /** The listener's name in metrics */
  readonly label: string

  /** Aborts the upgrades */
  readonly signal: AbortSignal
}

/** The sockets that a listener has accepted. They become connections and are upgraded */
export class Accepted {
  readonly #init: AcceptInit
  readonly #metrics: ListenerMetrics
  readonly #log: Logger
  readonly #connectionLog: Logger
  readonly #sockets = new Set<Socket>()

  constructor (init: AcceptInit, metrics: ListenerMetrics) {
    this.#init = init
    this.#metrics = metrics
    this.#log = init.logger.forComponent('libp2p:reuseport-tcp:listener')
    this.#connectionLog = init.logger.forComponent('libp2p:reuseport-tcp:connection')
  }

  /** How many sockets are open */
  count (): number {
    return this.#sockets.size
  }

  /** @returns whether the socket became an upgraded connection. Never rejects */
  async add (socket: Socket, at: AcceptedAt): Promise<boolean> {
    const { label } = at
    this.#sockets.add(socket)
    this.#countOpen(label, 1)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      this.#countOpen(label, -1)
    })

    const remote = at.endpoint == null ? undefined : { host: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 }
    let connection: RawConnection

    try {
      connection = this.#connect(socket, at, remote)
    } catch (err: any) {
      this.#log.error('inbound connection failed - %e', err)
      this.#metrics.errors?.increment({ [`${label} inbound_to_connection`]: true })
      socket.destroy()

      return false
    }

    this.#log('new inbound connection %a', connection.remoteAddr)

    try {
      await this.#init.upgrading.accept(connection, socket, remote, this.#init.upgrader, at.signal)
      this.#log('inbound connection upgraded %a', connection.remoteAddr)

      return true
    } catch (err: any) {
      this.#log.error('inbound connection upgrade failed - %e', err)
      this.#metrics.errors?.increment({ [`${label} inbound_upgrade`]: true })
      connection.abort(err)

      return false
    }
  }

  destroy (): void {
    this.#sockets.forEach(socket => { socket.destroy() })
  }

  /** Resolves when all sockets that are open now have closed */
  async closed (): Promise<void> {
    await Promise.all([...this.#sockets].map(async socket => new Promise(resolve => socket.once('close', resolve))))
  }

  /** @throws {InvalidParametersError} if the socket is closed and its remote address is unknown */
  #connect (socket: Socket, { ma, endpoint, label }: AcceptedAt, remote?: Endpoint): RawConnection {
    const { inactivityTimeout, allowHalfOpen, follow } = this.#init

    return toConnection({
      socket,
      direction: 'inbound',
      ...(endpoint == null || remote == null ? { remoteAddr: ma, localAddr: ma } : { follower: follow(endpoint, remote) }),
      inactivityTimeout,
      allowHalfOpen,
      metrics: this.#metrics.events,
      metricPrefix: `${label} `,
      log: this.#connectionLog
    })
  }

  /**
   * Adds to the metric. It is not set to the number of sockets, because another listener can
   * have the same address
   */
  #countOpen (label: string, more: number): void {
    this.#metrics.inboundConnections?.increment({ [label]: more })
  }
}
