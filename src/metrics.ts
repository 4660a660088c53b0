import { guardMethods } from './guarded.ts'
import type { EphemeralReason } from './options.ts'
import type { ReuseReason } from './port-reuse/choose-source.ts'
import type { CounterGroup, Logger, MetricGroup, Metrics } from '@libp2p/interface'

/**
 * What `@libp2p/tcp` counts of its dials, under the same names
 */
export interface DialerMetrics {
  events?: CounterGroup<'error' | 'connect' | 'abort'>
  errors?: CounterGroup<'outbound_to_connection' | 'outbound_upgrade'>

  /**
   * What connections were dialed from
   */
  sources?: CounterGroup<SourceLabel>

  /**
   * What only port reuse has
   */
  reuse?: CounterGroup<'ephemeral_won' | 'endpoint_suspended' | 'simultaneous_open'>
}

export type SourceLabel = `reused_${ReuseReason}` | `ephemeral_${EphemeralReason}` | 'unix'

/**
 * What `@libp2p/tcp` counts of its listeners, under the same names. Labels begin
 * with the address listened on
 */
export interface ListenerMetrics {
  inboundConnections?: MetricGroup
  status?: MetricGroup
  errors?: CounterGroup
  events?: CounterGroup
}

export interface EndpointCounts extends Record<string, number> {
  listening: number
  suspended: number
  observed: number
}

export function dialerMetrics (metrics: Metrics | undefined, log: Logger, endpoints: () => EndpointCounts): DialerMetrics {
  metrics?.registerMetricGroup('libp2p_reuseport_tcp_endpoints', {
    label: 'kind',
    help: 'Endpoints that are listened on, those of them that are not dialed from at the moment as peers do not answer them, external addresses that peers observe',
    calculate: endpoints
  })

  return {
    events: guarded(metrics?.registerCounterGroup('libp2p_tcp_dialer_events_total', {
      label: 'event',
      help: 'Total count of TCP dialer events by type'
    }), log),
    errors: guarded(metrics?.registerCounterGroup('libp2p_tcp_dialer_errors_total', {
      label: 'event',
      help: 'Total count of TCP dialer errors by type'
    }), log),
    sources: guarded(metrics?.registerCounterGroup('libp2p_reuseport_tcp_dials_total', {
      label: 'source',
      help: 'Total count of connections by what they were dialed from: a listening port (reused_ and the rule that selected it), or an ephemeral one (ephemeral_ and the reason)'
    }), log),
    reuse: guarded(metrics?.registerCounterGroup('libp2p_reuseport_tcp_dialer_events_total', {
      label: 'event',
      help: 'Dials that an ephemeral port won, listening endpoints that were suspended, dials repeated after a simultaneous open'
    }), log)
  }
}

/**
 * What a connection was dialed from
 */
export type DialSource = { reason: ReuseReason | 'unix' } | { reason: 'ephemeral', because: { reason: EphemeralReason } }

export function sourceLabel (source: DialSource): SourceLabel {
  switch (source.reason) {
    case 'unix': return source.reason
    case 'ephemeral': return `ephemeral_${source.because.reason}`
    default: return `reused_${source.reason}`
  }
}

export function listenerMetrics (metrics: Metrics | undefined, log: Logger): ListenerMetrics {
  return {
    // not calculated when asked for, as in @libp2p/tcp: only the first listener's would be
    inboundConnections: guarded(metrics?.registerMetricGroup('libp2p_tcp_inbound_connections_total', {
      label: 'address',
      help: 'Current active connections in TCP listener'
    }), log),
    status: guarded(metrics?.registerMetricGroup('libp2p_tcp_listener_status_info', {
      label: 'address',
      help: 'Current status of the TCP listener socket'
    }), log),
    errors: guarded(metrics?.registerMetricGroup('libp2p_tcp_listener_errors_total', {
      label: 'address',
      help: 'Total count of TCP listener errors by type'
    }), log),
    events: guarded(metrics?.registerMetricGroup('libp2p_tcp_listener_events_total', {
      label: 'address',
      help: 'Total count of TCP listener events by type'
    }), log)
  }
}

/**
 * Metrics are somebody else's code: what they throw must not break a connection
 */
function guarded <T extends MetricGroup | CounterGroup> (group: T | undefined, log: Logger): T | undefined {
  return group == null ? undefined : guardMethods(group, log)
}
