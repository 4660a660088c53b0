/**
 * @packageDocumentation
 *
 * A TCP transport for js-libp2p that dials from the port it listens on. So peers observe the
 * address that a NAT keeps open for the listener. A drop-in replacement for `@libp2p/tcp`.
 *
 * @example
 *
 * ```TypeScript
 * import { createLibp2p } from 'libp2p'
 * import { reuseportTcp } from 'libp2p-reuseport-tcp'
 * import { multiaddr } from '@multiformats/multiaddr'
 *
 * const node = await createLibp2p({
 *   addresses: {
 *     listen: ['/ip4/0.0.0.0/tcp/4001']
 *   },
 *   transports: [
 *     reuseportTcp()
 *   ]
 * })
 *
 * // the peer sees this connection come from port 4001
 * const connection = await node.dial(multiaddr('/ip4/123.123.123.123/tcp/1234'), {
 *   signal: AbortSignal.timeout(10_000)
 * })
 * ```
 */

import { checkInit, checkIsCalled, checkOptions } from './check-options.ts'
import { checkNodeVersion } from './node-version.ts'
import { PortReuseStatus } from './port-reuse-service.ts'
import { ReuseportTcp } from './transport.ts'
import type { ReuseportTcpInit } from './options.ts'
import type { PortReuseComponents, PortReuseService } from './port-reuse-service.ts'
import type { ReuseportTcpComponents, ReuseportTcpTransport } from './transport.ts'

export { toDuplex } from './connection/duplex.ts'
export { isSourcePort } from './source-port.ts'

export type { NodeParts } from './check-node.ts'
export type { RawConnection } from './connection/connection.ts'
export type { ConnectionDuplex } from './connection/duplex.ts'
export type { EphemeralReason } from './dialing/dialed-from.ts'
export type { NatMapping } from './observed/nat-mapping.ts'
export type { AutonatComponents } from './observed/autonat.ts'
export type { ObservedAddressManager } from './observed/hand-over.ts'
export type { ExternalAddress, NatMappingUpdate, ObservedAddress, ObservedComponents, ObservedEndpoint, PortReuseEvents } from './observed/observed.ts'
export type { Agreement } from './observed/votes.ts'
export type { CloseServerOnMaxConnectionsOpts, ConnectOptions, ReuseportTcpCreateListenerOptions, ReuseportTcpDialEvents, ReuseportTcpDialOptions, ReuseportTcpInit, SourcePort, TCPSocketOptions } from './options.ts'
export type { FindPortReuse, ListenOptions, Look, PortReuse, PortReuseSupport, Strategy } from './port-reuse/port-reuse.ts'
export type { Endpoint } from './endpoint.ts'
export type { PortReuseComponents, PortReuseService } from './port-reuse-service.ts'
export type { ReuseRule } from './port-reuse/choose-source.ts'
export type { ReuseportTcpComponents, ReuseportTcpTransport } from './transport.ts'

// checked at import: an older Node may fail anywhere, or behave differently without an error
checkNodeVersion()

/**
 * Creates the transport for `createLibp2p`
 *
 * @throws {InvalidParametersError} if an option does not exist, or has a value that can't be used
 */
export function reuseportTcp (init: ReuseportTcpInit = {}): (components: ReuseportTcpComponents) => ReuseportTcpTransport {
  checkIsCalled(init, 'reuseportTcp')
  const checked = checkInit(init)

  return (components: ReuseportTcpComponents) => new ReuseportTcp(components, checked)
}

/**
 * Creates a service for `createLibp2p` that tells how the node's `reuseportTcp()` reuses ports, at
 * which addresses peers see the node, and where connections were dialed from. It has no options
 *
 * @example
 *
 * ```TypeScript
 * import { createLibp2p } from 'libp2p'
 * import { portReuse, reuseportTcp } from 'libp2p-reuseport-tcp'
 *
 * const node = await createLibp2p({
 *   transports: [reuseportTcp()],
 *   services: { portReuse: portReuse() }
 * })
 *
 * node.services.portReuse.addEventListener('external-address:found', ({ detail }) => {
 *   console.info(`peers see ${detail.local} at ${detail.external}`)
 * })
 *
 * console.info(node.services.portReuse.support())
 * ```
 *
 * @throws {InvalidParametersError} if it gets an option, and when the node starts without
 * `reuseportTcp()`
 */
export function portReuse (init: Record<string, never> = {}): (components: PortReuseComponents) => PortReuseService {
  checkIsCalled(init, 'portReuse')
  checkOptions(init, {})

  return components => new PortReuseStatus(components)
}
