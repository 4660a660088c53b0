import { ConnectionFailedError } from '@libp2p/interface'
import { untilAborted } from '../abort.ts'
import type { Connection, ConnectionGater, MultiaddrConnection, PeerId } from '@libp2p/interface'

/** The parts of libp2p that decide whether an inbound connection may be upgraded */
export interface InboundLimitsComponents {
  connectionManager?: {
    /** If it returns true, it has counted the connection as a pending one */
    acceptIncomingConnection(connection: MultiaddrConnection): boolean
    afterUpgradeInbound(): void
    getConnections(): Connection[]
  }
  connectionGater?: ConnectionGater
}

export interface InboundConnection {
  readonly connection: MultiaddrConnection

  /** The id of the expected peer */
  readonly peer: string
  readonly signal: AbortSignal
}

/**
 * Upgrades an accepted connection by `upgradeOutbound`. That leaves out the checks of
 * `upgradeInbound`, so they are made here, in the same order: first the connection manager
 * (deny list, `maxConnections`, rate, pending connections), then the gater.
 *
 * The gater's last two checks are about the peer, and libp2p makes them when the peer is
 * known. Nothing can be checked in the middle of `upgradeOutbound`, so here they come before
 * it, for the expected peer. The upgrade fails if it turns out to be another peer
 *
 * @throws {ConnectionFailedError} if the connection manager or the gater denies it
 * @throws {AbortError}
 * @throws {Error} whatever the gater or the upgrade throws
 */
export async function withInboundLimits ({ connectionManager, connectionGater = {} }: InboundLimitsComponents, { connection, peer, signal }: InboundConnection, upgrade: () => Promise<unknown>): Promise<void> {
  if (connectionManager?.acceptIncomingConnection(connection) === false) {
    throw new ConnectionFailedError(`The connection manager does not accept the connection from ${connection.remoteAddr}`)
  }

  try {
    // a hole is only punched to a peer that is connected over a relay, so its id is known
    const id = connectionManager?.getConnections().find(({ remotePeer }) => remotePeer.toString() === peer)?.remotePeer

    for (const [name, isDenied] of Object.entries(questions(connectionGater, connection, id))) {
      if (await untilAborted(Promise.resolve(isDenied()), signal) === true) {
        throw new ConnectionFailedError(`The connection from ${connection.remoteAddr} is blocked by gater.${name}`)
      }
    }

    await upgrade()
  } finally {
    connectionManager?.afterUpgradeInbound()
  }
}

/**
 * The gater's checks, in order. If the peer is unknown and the gater has a check that needs the
 * peer, this check denies the connection
 */
function questions (gater: ConnectionGater, connection: MultiaddrConnection, peer?: PeerId): Record<string, () => boolean | undefined | Promise<boolean>> {
  const ofPeer = (name: 'denyInboundEncryptedConnection' | 'denyInboundUpgradedConnection') => () => {
    return peer == null ? gater[name] != null : gater[name]?.(peer, connection)
  }

  return {
    denyInboundConnection: () => gater.denyInboundConnection?.(connection),
    denyInboundEncryptedConnection: ofPeer('denyInboundEncryptedConnection'),
    denyInboundUpgradedConnection: ofPeer('denyInboundUpgradedConnection')
  }
}
