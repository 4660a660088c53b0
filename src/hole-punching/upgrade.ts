import { ExpectedPeers } from './expected-peers.ts'
import { startsToSpeak, watchForInitiator } from './peer-role.ts'
import { rulesOf } from './roles.ts'
import { ACCEPTED_SILENCE_MS, ACCEPTED_UPGRADE_MS } from './time-limits.ts'
import type { DialRules } from './roles.ts'
import type { Target } from '../address.ts'
import type { RawConnection } from '../connection/connection.ts'
import type { BecauseOf, DialedFrom } from '../dialing/dialed-from.ts'
import type { Endpoint } from '../endpoint.ts'
import type { DialerMetrics } from '../metrics.ts'
import type { ReuseportTcpDialOptions } from '../options.ts'
import type { Connection, Logger, Upgrader } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Socket } from 'node:net'

export interface RoleUpgraderInit {
  /** Are connections protected by a pre-shared key? */
  isPrivateNetwork: boolean
  log: Logger
  metrics: Pick<DialerMetrics, 'errors' | 'reuse'>
}

export interface DialedConnection {
  readonly connection: RawConnection
  readonly socket: Socket
  readonly from: DialedFrom
}

/**
 * The names of libp2p's errors for a connection that one of the ends does not
 * want, whoever is the initiator
 */
const DENIED = ['ConnectionInterceptedError', 'ConnectionDeniedError']

/** Why a dial is repeated: nothing can collide with one from an ephemeral port */
const SIMULTANEOUS_OPEN: BecauseOf = { because: 'simultaneous_open', message: 'the peer dialed us at the same moment' }

/** Upgrades connections in the role that this end has, or turns out to have */
export class RoleUpgrader {
  readonly #init: RoleUpgraderInit
  readonly #expected = new ExpectedPeers()

  constructor (init: RoleUpgraderInit) {
    this.#init = init
  }

  /**
   * Dials and upgrades. Dials once more, from an ephemeral port, if the peer has dialed us at
   * the same moment
   *
   * @param ma - what is dialed
   * @param target - what that stands for
   * @param options - of the dial
   * @param open - opens a raw connection
   */
  async dial (ma: Multiaddr, target: Target, options: ReuseportTcpDialOptions, open: (options: ReuseportTcpDialOptions, rules: DialRules) => Promise<DialedConnection>): Promise<Connection> {
    const { isPrivateNetwork, log, metrics } = this.#init
    const { signal, upgrader } = options
    const rules = rulesOf(options)
    const start = Date.now()
    const { connection, socket, from } = rules.expectsPeer
      ? await this.#expected.during(ma, target, async () => open(options, rules))
      : await open(options, rules)
    const peerIsInitiator = rules.mayCross && 'local' in from ? watchForInitiator(socket, isPrivateNetwork) : () => false

    const onAbort = (): void => {
      if (rules.abortsWith === 'FIN') {
        socket.destroy()
      }
    }

    // first in line: TLS, in the upgrade, aborts the connection, which sends RST
    signal?.addEventListener('abort', onAbort)

    try {
      let role = options

      if (rules.silence != null && !await startsToSpeak(socket, { timeout: rules.silence(Date.now() - start), isPrivateNetwork, signal })) {
        log('%a waits for an initiator, so we are', ma)
        connection.direction = 'outbound'
        role = { ...options, initiator: true }
      }

      return await upgrader.upgradeOutbound(connection, role)
    } catch (err: any) {
      metrics.errors?.increment({ outbound_upgrade: true })
      log.error('error upgrading outbound connection to %a - %e', ma, err)

      if (signal?.aborted === true) {
        onAbort()
      }

      connection.abort(err)

      if (signal?.aborted === true || options.reusePort === 'require' || DENIED.includes(err?.name) || !peerIsInitiator(firstProposal(upgrader))) {
        throw err
      }
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }

    log('%a dialed us at the same moment and both ends acted as initiator, dialing once more', ma)
    metrics.reuse?.increment({ simultaneous_open: true })

    return this.dial(ma, target, options, async (dialOptions, dialRules) => open(dialOptions, { ...dialRules, ephemeral: SIMULTANEOUS_OPEN }))
  }

  /**
   * Upgrades a connection that was accepted. In a hole punch the peer dials as responder. If
   * its SYN gets to our listener instead of meeting ours, there are two responders, and it is
   * us who know that we were to be the initiator
   *
   * @param connection
   * @param socket
   * @param remote - where it comes from; none for a unix socket
   * @param upgrader
   * @param signal
   */
  async accept (connection: RawConnection, socket: Socket, remote: Endpoint | undefined, upgrader: Upgrader, signal: AbortSignal): Promise<void> {
    const { isPrivateNetwork, log } = this.#init
    const isSilent = remote != null && this.#expected.has(remote) && !await startsToSpeak(socket, { timeout: ACCEPTED_SILENCE_MS, isPrivateNetwork, signal })
    const peer = isSilent ? this.#expected.take(remote) : undefined

    if (peer == null) {
      await upgrader.upgradeInbound(connection, { signal })
      return
    }

    log('%a waits for an initiator, so we are', connection.remoteAddr)
    connection.direction = 'outbound'
    connection.remoteAddr = connection.remoteAddr.encapsulate(`/p2p/${peer}`)
    await upgrader.upgradeOutbound(connection, { signal: AbortSignal.any([signal, AbortSignal.timeout(ACCEPTED_UPGRADE_MS)]), initiator: true })
  }
}

/** What the upgrader proposes first to encrypt a connection */
function firstProposal (upgrader: Upgrader): string | undefined {
  return upgrader.getConnectionEncrypters?.().keys().next().value
}
