import { InvalidParametersError } from '@libp2p/interface'
import type { ReuseportTcpTransport } from './transport.ts'
import type { Transport } from '@libp2p/interface'

/**
 * The transport of this package in a node: `transports` is its transport manager, and `service`
 * the name of what needs the transport
 *
 * @throws {InvalidParametersError} if the node does not have it
 */
export function findTransport (transports: { getTransports(): Transport[] }, service: string): ReuseportTcpTransport {
  const found = transports.getTransports()
    .find((transport): transport is ReuseportTcpTransport => transport[Symbol.toStringTag] === 'libp2p-reuseport-tcp')

  if (found == null) {
    throw new InvalidParametersError(`${service} needs reuseportTcp() among the transports`)
  }

  return found
}
