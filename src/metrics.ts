import type { CounterGroup, MetricGroup, Metrics } from '@libp2p/interface'

/** The metrics of dials. Those of `@libp2p/tcp` have the same names here */
export interface DialerMetrics {
  events?: CounterGroup<'error' | 'connect' | 'abort'>
  errors?: CounterGroup<'outbound_to_connection' | 'outbound_upgrade'>

  /** Counts the sources of dialed connections */
  sources?: CounterGroup

  /** Events that only happen with port reuse */
  reuse?: CounterGroup<'ephemeral_won' | 'endpoint_suspended' | 'simultaneous_open'>
}

/**
 * The metrics of listeners, with the same names as in `@libp2p/tcp`. Labels begin with the
 * listening address
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

export function dialerMetrics (metrics: Metrics | undefined, endpoints: () => EndpointCounts): DialerMetrics {
  metrics?.registerMetricGroup('libp2p_reuseport_tcp_endpoints', {
    label: 'kind',
    help: 'Endpoints that are listened on, those of them that are not dialed from at the moment as several peers could not be reached from them, external addresses that peers observe',
    calculate: endpoints
  })

  return {
    events: metrics?.registerCounterGroup('libp2p_tcp_dialer_events_total', {
      label: 'event',
      help: 'Total count of TCP dialer events by type'
    }),
    errors: metrics?.registerCounterGroup('libp2p_tcp_dialer_errors_total', {
      label: 'event',
      help: 'Total count of TCP dialer errors by type'
    }),
    sources: metrics?.registerCounterGroup('libp2p_reuseport_tcp_dials_total', {
      label: 'source',
      help: 'Total count of connections by what they were dialed from: a listening port (reused_ and the rule that selected it), or an ephemeral one (ephemeral_ and the reason)'
    }),
    reuse: metrics?.registerCounterGroup('libp2p_reuseport_tcp_dialer_events_total', {
      label: 'event',
      help: 'Dials that connected only from an ephemeral port, listening endpoints that were suspended, dials repeated after a simultaneous open'
    })
  }
}

export function listenerMetrics (metrics: Metrics | undefined): ListenerMetrics {
  return {
    // without `calculate`, unlike @libp2p/tcp: only the first listener's function would be used
    inboundConnections: metrics?.registerMetricGroup('libp2p_tcp_inbound_connections_total', {
      label: 'address',
      help: 'Current active connections in TCP listener'
    }),
    status: metrics?.registerMetricGroup('libp2p_tcp_listener_status_info', {
      label: 'address',
      help: 'Current status of the TCP listener socket'
    }),
    errors: metrics?.registerMetricGroup('libp2p_tcp_listener_errors_total', {
      label: 'address',
      help: 'Total count of TCP listener errors by type'
    }),
    events: metrics?.registerMetricGroup('libp2p_tcp_listener_events_total', {
      label: 'address',
      help: 'Total count of TCP listener events by type'
    })
  }
}
