import { ExpectedPeers } from './expected-peers.ts'
import { withInboundLimits } from './inbound-limits.ts'
import { startsToSpeak, watchForInitiator } from './peer-role.ts'
import { roleOf, rulesOf } from './roles.ts'
import { ACCEPTED_SILENCE_MS, PROTECTED_SILENCE_MS } from './time-limits.ts'
import type { InboundLimitsComponents } from './inbound-limits.ts'
import type { DialRules } from './roles.ts'
import type { Target } from '../address.ts'
import type { RawConnection } from '../connection/connection.ts'
import type { DialedFrom } from '../dialing/dialed-from.ts'
import type { Endpoint } from '../endpoint.ts'
import type { DialerMetrics } from '../metrics.ts'
import type { ReuseportTcpDialOptions } from '../options.ts'
import type { Connection, ConnectionProtector, Logger, MultiaddrConnection, Upgrader } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Socket } from 'node:net'

export interface RoleUpgraderComponents extends InboundLimitsComponents {
  /** Protects the connections of a private network with a pre-shared key */
  connectionProtector?: ConnectionProtector
}

export interface RoleUpgraderInit {
  components: RoleUpgraderComponents
  log: Logger
  metrics: Pick<DialerMetrics, 'errors'>
}

export interface DialedConnection {
  readonly connection: RawConnection
  readonly socket: Socket
  readonly from: DialedFrom

  /** How long the dial took, in ms */
  readonly took: number
}

/**
 * The names of libp2p's errors for a connection that an end does not want. Its role does not
 * matter
 */
const DENIED = ['ConnectionInterceptedError', 'ConnectionDeniedError']

/**
 * Two plain dials have met, so both ends acted as initiator. Nothing can collide with a dial
 * from an ephemeral port
 */
export class BothInitiatorsError extends Error {
  name = 'BothInitiatorsError'
}

export type { DialRules }

/** Upgrades connections in the role of this end, even if the role turns out to be another one */
export class RoleUpgrader {
  readonly #init: RoleUpgraderInit
  readonly #expected = new ExpectedPeers()

  constructor (init: RoleUpgraderInit) {
    this.#init = init
  }

  /** The rules of a dial with these options */
  rulesOf (options: Pick<ReuseportTcpDialOptions, 'initiator'>): DialRules {
    return rulesOf(roleOf(options))
  }

  /**
   * Expects a connection from the peer while this end dials it as the initiator of a hole punch
   *
   * @param ma - the dialed multiaddr
   * @param target - what `ma` stands for
   * @param dialing - the dial, which has already begun
   */
  async expecting <T> (ma: Multiaddr, target: Target, dialing: Promise<T>): Promise<T> {
    return this.#expected.during(ma, target, dialing)
  }

  /**
   * Upgrades a connection that was dialed
   *
   * @throws {BothInitiatorsError} if the peer dialed this end at the same moment
   * @throws {Error} whatever the upgrader throws
   */
  async dialed ({ connection, socket, from, took }: DialedConnection, options: ReuseportTcpDialOptions, rules: DialRules): Promise<Connection> {
    const { components, log, metrics } = this.#init
    const { signal, upgrader } = options
    const ma = connection.remoteAddr
    const peerIsInitiator = rules.mayCross && from.kind === 'reused' ? watchForInitiator(socket, components.connectionProtector != null) : () => false

    const onAbort = (): void => {
      if (rules.abortsWith === 'FIN') {
        socket.destroy()
      }
    }

    // TLS, in the upgrade, aborts the connection itself. If the signal aborts, the listener above
    // must come first
    connection.finBeforeReset = rules.abortsWith === 'FIN and RST'
    signal?.addEventListener('abort', onAbort)

    try {
      const timeout = rules.silence(took)

      if (timeout === 0) {
        return await upgrader.upgradeOutbound(connection, options)
      }

      const { begun, isSilent } = await this.#waitForInitiator(connection, socket, { timeout, signal })
      begun.direction = isSilent ? 'outbound' : 'inbound'
      log('%a %s, so this end is the %s', ma, isSilent ? 'is silent' : 'speaks first', isSilent ? 'initiator' : 'responder')

      return await upgrader.upgradeOutbound(begun, { ...options, initiator: isSilent, skipProtection: true })
    } catch (err: any) {
      const areBothInitiators = signal?.aborted !== true && options.reusePort !== 'require' && !DENIED.includes(err?.name) && peerIsInitiator(firstProposal(upgrader))
      metrics.errors?.increment({ outbound_upgrade: true })

      if (!areBothInitiators) {
        log.error('error upgrading outbound connection to %a - %e', ma, err)
      }

      if (signal?.aborted === true) {
        onAbort()
      }

      connection.abort(err)
      // then the 4-tuple is free for the next attempt
      await closed(socket)
      throw areBothInitiators ? new BothInitiatorsError(`${ma} dialed us at the same moment`, { cause: err }) : err
    } finally {
      connection.finBeforeReset = false
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /**
   * Upgrades a connection that was accepted. In a hole punch the peer dials as responder. If
   * its SYN arrives at a listener instead of meeting the SYN of this end, both ends are
   * responders. Only this end knows that it should be the initiator
   *
   * @param connection
   * @param socket
   * @param remote - where the connection comes from; undefined for a unix socket
   * @param upgrader
   * @param signal
   */
  async accept (connection: RawConnection, socket: Socket, remote: Endpoint | undefined, upgrader: Upgrader, signal: AbortSignal): Promise<void> {
    if (remote == null || !this.#expected.has(remote)) {
      await upgrader.upgradeInbound(connection, { signal })
      return
    }

    const { components, log } = this.#init
    const limited = upgrader.createInboundAbortSignal(signal)

    try {
      const timeout = components.connectionProtector == null ? ACCEPTED_SILENCE_MS : PROTECTED_SILENCE_MS
      const { begun, isSilent } = await this.#waitForInitiator(connection, socket, { timeout, signal: limited })
      const peer = isSilent ? this.#expected.take(remote) : undefined

      if (peer == null) {
        await upgrader.upgradeInbound(begun, { signal: limited, skipProtection: true })
        return
      }

      await withInboundLimits(components, { connection, peer, signal: limited }, async () => {
        log('%a is silent, so this end is the initiator', connection.remoteAddr)
        begun.direction = 'outbound'
        begun.remoteAddr = connection.remoteAddr.encapsulate(`/p2p/${peer}`)
        await upgrader.upgradeOutbound(begun, { signal: limited, initiator: true, skipProtection: true })
      })
    } finally {
      limited.clear()
    }
  }

  /**
   * Waits until the peer speaks, or until it has been silent for `timeout` ms. In a private
   * network the nonces are exchanged first. Both ends send one, whatever their role. Initiators
   * of `@libp2p/pnet` and rust-libp2p then send nothing more until they have the other end's
   * nonce. So silence tells a role only after the nonces
   *
   * @returns the connection (in a private network, the protected one), and whether the peer is
   * silent
   * @throws {AbortError}
   * @throws {Error} whatever the protector throws
   */
  async #waitForInitiator (connection: RawConnection, socket: Socket, { timeout, signal }: { timeout: number, signal: AbortSignal }): Promise<{ begun: MultiaddrConnection, isSilent: boolean }> {
    const { connectionProtector } = this.#init.components
    const { remoteAddr, timeline } = connection
    const begun: MultiaddrConnection = connectionProtector == null
      ? connection
      // `Observed` recognises a connection by its timeline
      : Object.assign(await connectionProtector.protect(connection, { signal }), { remoteAddr, timeline })
    const isSilent = !await startsToSpeak(socket, { timeout, isPrivateNetwork: connectionProtector != null, signal })

    return { begun, isSilent }
  }
}

async function closed (socket: Socket): Promise<void> {
  if (!socket.closed) {
    await new Promise(resolve => socket.once('close', resolve))
  }
}

/** The encryption protocol that the upgrader proposes first */
function firstProposal (upgrader: Upgrader): string | undefined {
  return upgrader.getConnectionEncrypters?.().keys().next().value
}
