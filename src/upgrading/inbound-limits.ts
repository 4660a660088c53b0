import { ConnectionFailedError } from '@libp2p/interface'
import { untilAborted } from '../abort.ts'
import type { Connection, ConnectionGater, MultiaddrConnection, PeerId } from '@libp2p/interface'

/** What libp2p asks whether an inbound connection may be upgraded */
export interface InboundLimitsComponents {
  connectionManager?: {
    /** Counts the connection as a pending one if it says yes */
    acceptIncomingConnection(connection: MultiaddrConnection): boolean
    afterUpgradeInbound(): void
    getConnections(): Connection[]
  }
  connectionGater?: ConnectionGater
}

export interface InboundConnection {
  readonly connection: MultiaddrConnection

  /** The id of the peer that it should come from */
  readonly peer: string
  readonly signal: AbortSignal
}

/**
 * Upgrades a connection that has arrived at a listener by `upgradeOutbound`, which does not
 * ask what `upgradeInbound` asks. So that is asked here, in the same order: the connection
 * manager (deny list, `maxConnections`, rate, pending connections), then the gater.
 *
 * Libp2p asks the gater's last two questions when it knows the peer. There is no way to ask
 * in the middle of `upgradeOutbound`, so they are asked before, about the peer that is
 * expected: the upgrade fails if it is another one
 *
 * @throws {ConnectionFailedError} if one of them says no
 * @throws {AbortError}
 * @throws {Error} whatever the gater or the upgrade throws
 */
export async function withInboundLimits ({ connectionManager, connectionGater = {} }: InboundLimitsComponents, { connection, peer, signal }: InboundConnection, upgrade: () => Promise<unknown>): Promise<void> {
  if (connectionManager?.acceptIncomingConnection(connection) === false) {
    throw new ConnectionFailedError(`The connection manager does not accept the connection from ${connection.remoteAddr}`)
  }

  try {
    // a hole is punched to a peer that is connected over a relay
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

/** In the order in which they are asked. If the peer is not known, a gater that has to know it denies it */
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
