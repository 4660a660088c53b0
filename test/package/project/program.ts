/** Names all that this package exports, the way that users do. It is compiled, not run */

import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { defaultLogger } from '@libp2p/logger'
import { noise } from '@libp2p/noise'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { isSourcePort, portReuse, reuseportTcp, toDuplex } from 'libp2p-reuseport-tcp'
import { dcutr } from 'libp2p-reuseport-tcp/dcutr'
import type { Listener, Transport, Upgrader } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { CloseServerOnMaxConnectionsOpts, ConnectionDuplex, ConnectOptions, EphemeralReason, ExternalAddress, NatMapping, NatMappingUpdate, ObservedEndpoint, PortReuseEvents, PortReuseService, PortReuseSupport, RawConnection, ReuseportTcpComponents, ReuseportTcpCreateListenerOptions, ReuseportTcpDialEvents, ReuseportTcpDialOptions, ReuseportTcpInit, ReuseportTcpTransport, ReuseRule, SourcePort, TCPSocketOptions } from 'libp2p-reuseport-tcp'
import type { Dcutr, DcutrComponents, DcutrEvents, DCUtRServiceInit, HolePunchAttempt, HolePunchEnd, HolePunchFailure, HolePunchResult, Role } from 'libp2p-reuseport-tcp/dcutr'

const socketOptions: Required<TCPSocketOptions> = {
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: 0,
  allowHalfOpen: false
}

const limits: CloseServerOnMaxConnectionsOpts = {
  listenBelow: 100,
  closeAbove: 200,
  onListenError: (err: Error) => { throw err }
}

const init: Required<ReuseportTcpInit> = {
  reusePort: true,
  sharePort: false,
  reusePortTimeout: 1_000,
  observedAddressThreshold: 4,
  inboundSocketInactivityTimeout: 120_000,
  outboundSocketInactivityTimeout: 120_000,
  maxConnections: Infinity,
  portReuse: () => ({ support: { available: false, why: 'for the test' }, listen: () => undefined, connect: () => { throw new Error('not here') } }),
  backlog: 511,
  closeServerOnMaxConnections: limits,
  dialOpts: socketOptions,
  listenOpts: socketOptions
}

const serviceInit: DCUtRServiceInit = { timeout: 5_000, retries: 3 }

/** The services of a node have the types that they were given */
export async function holePuncher (): Promise<Record<string, NatMapping>> {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/0.0.0.0/tcp/4001', '/p2p-circuit'] },
    transports: [reuseportTcp(init), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: {
      identify: identify(),
      dcutr: dcutr(serviceInit),
      portReuse: portReuse()
    }
  })
  const ports: PortReuseService = node.services.portReuse
  const connection = await node.dial(multiaddr('/ip4/127.0.0.1/tcp/4001'), {
    onProgress: event => {
      if (isSourcePort(event)) {
        const source: SourcePort = event.detail
        ports.dispatchEvent(new Event(source.kind))
      }
    }
  })
  const found: keyof PortReuseEvents = ports.sourcePort(connection)?.kind === 'reused' && ports.support().available ? 'external-address:found' : 'external-address:gone'
  ports.addEventListener(found, ({ detail }: CustomEvent<ExternalAddress>) => detail.external.equals(detail.local))
  ports.addEventListener('nat-mapping:update', ({ detail }: CustomEvent<NatMappingUpdate>): NatMapping => detail.mapping)

  const service: Dcutr = node.services.dcutr
  const attempt: keyof DcutrEvents = 'hole-punch:attempt'
  service.addEventListener(attempt, ({ detail }: CustomEvent<HolePunchAttempt>): Role => detail.role)
  service.addEventListener('hole-punch:end', ({ detail: { result } }: CustomEvent<HolePunchEnd>) => outcome(result))
  service.candidates().forEach(ma => ma.toString())

  return service.natMappings()
}

function outcome (result: HolePunchResult): HolePunchFailure | Multiaddr {
  return result.kind === 'failed' ? result.why : result.connection.remoteAddr
}

export async function withoutUpgrader (components: ReuseportTcpComponents = { logger: defaultLogger() }): Promise<ConnectionDuplex> {
  const transport: ReuseportTcpTransport = reuseportTcp()(components)
  const options: ConnectOptions = {
    ...socketOptions,
    reusePort: 'require',
    signal: AbortSignal.timeout(1_000),
    onProgress: event => { onProgress(event) }
  }
  const connection: RawConnection = await transport.connect(multiaddr('/ip4/127.0.0.1/tcp/4001'), options)
  const duplex = toDuplex(connection)
  await duplex.sink([new Uint8Array(1)])

  for await (const data of duplex.source) {
    data.subarray().fill(0)
  }

  return duplex
}

/** It is a transport like any other, and knows more */
export function observers (transport: Transport & ReuseportTcpTransport, upgrader: Upgrader): number {
  const options: ReuseportTcpCreateListenerOptions = { upgrader, ...socketOptions }
  const listener: Listener = transport.createListener(options)
  listener.addEventListener('listening', () => {})
  const dialOptions: ReuseportTcpDialOptions = { upgrader, signal: AbortSignal.timeout(1_000), initiator: false, reusePort: false }
  transport.dial(multiaddr('/dns4/example.com/tcp/4001'), dialOptions).then(({ remotePeer }) => remotePeer.toString(), () => {})

  const support: PortReuseSupport = transport.portReuse()
  options.noDelay = support.available ? support.name !== '' : support.why === ''

  return transport.observed().reduce((sum, { addresses }: ObservedEndpoint) => sum + addresses.reduce((sum, { observers }) => sum + observers, 0), 0)
}

export const serviceFactory: (components: DcutrComponents) => Dcutr = dcutr()

function onProgress (event: ReuseportTcpDialEvents): ReuseRule | EphemeralReason | undefined {
  if (isSourcePort(event)) {
    const source: SourcePort = event.detail

    switch (source.kind) {
      case 'reused': return source.localAddr == null ? undefined : source.rule
      case 'ephemeral': return source.message === '' ? undefined : source.why
      default: return source.localAddr
    }
  }
}

// @ts-expect-error it is reusePort
reuseportTcp({ reuseport: true })

// @ts-expect-error it is no number
reuseportTcp({ reusePortTimeout: '1s' })

// @ts-expect-error only a dial can require it
reuseportTcp({ reusePort: 'require' })

// @ts-expect-error it has no such option
dcutr({ relay: true })

// @ts-expect-error it has no options
portReuse({ reusePort: true })
