import { guardMethods } from './guarded.ts'
import type { CounterGroup, Logger, MetricGroup, Metrics } from '@libp2p/interface'

/**
 * What `@libp2p/tcp` counts of its dials, under the same names
 */
export interface DialerMetrics {
  events?: CounterGroup<'error' | 'timeout' | 'connect' | 'abort'>
  errors?: CounterGroup<'outbound_to_connection' | 'outbound_upgrade'>

  /**
   * What only port reuse has, under a name of its own
   */
  reuse?: CounterGroup<'ephemeral_won' | 'endpoint_suspended' | 'simultaneous_open'>
}

/**
 * What `@libp2p/tcp` counts of its listeners, under the same names. Labels begin
 * with the address listened on
 */
export interface ListenerMetrics {
  status?: MetricGroup
  errors?: CounterGroup
  events?: CounterGroup
}

export function dialerMetrics (metrics: Metrics | undefined, log: Logger): DialerMetrics {
  return {
    events: guarded(metrics?.registerCounterGroup('libp2p_tcp_dialer_events_total', {
      label: 'event',
      help: 'Total count of TCP dialer events by type'
    }), log),
    errors: guarded(metrics?.registerCounterGroup('libp2p_tcp_dialer_errors_total', {
      label: 'event',
      help: 'Total count of TCP dialer errors by type'
    }), log),
    reuse: guarded(metrics?.registerCounterGroup('libp2p_reuseport_tcp_dialer_events_total', {
      label: 'event',
      help: 'Dials that an ephemeral port won, listening endpoints that were suspended, dials repeated after a simultaneous open'
    }), log)
  }
}

export function listenerMetrics (metrics: Metrics | undefined, log: Logger, inboundConnections: () => Record<string, number>): ListenerMetrics {
  metrics?.registerMetricGroup('libp2p_tcp_inbound_connections_total', {
    label: 'address',
    help: 'Current active connections in TCP listener',
    calculate: inboundConnections
  })

  return {
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

function guarded <T extends MetricGroup | CounterGroup> (group: T | undefined, log: Logger): T | undefined {
  return group == null ? undefined : guardMethods(group, log)
}
