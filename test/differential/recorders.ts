/** What a transport logs and counts, with the same names for both transports */

import type { ComponentLogger, Logger, Metrics } from '@libp2p/interface'

export interface LogRecorder extends ComponentLogger {
  /** Lines of level error, by component */
  readonly errors: Record<string, number>
}

export function recordLogs (): LogRecorder {
  const errors: Record<string, number> = {}
  const forComponent = (name: string): Logger => {
    const component = name.replace('libp2p:reuseport-tcp', 'libp2p:tcp')

    return Object.assign(() => {}, {
      enabled: true,
      trace: () => {},
      error: () => { errors[component] = (errors[component] ?? 0) + 1 },
      newScope: (scope: string) => forComponent(`${name}:${scope}`)
    })
  }

  return { errors, forComponent }
}

export interface MetricsRecorder {
  readonly metrics: Metrics

  /** By name and label */
  values(): Record<string, number>
}

export function recordMetrics (): MetricsRecorder {
  const groups: Record<string, { values: Record<string, number>, calculate?(): Record<string, number> }> = {}

  const register = (name: string, options: { calculate?(): Record<string, number> } = {}): object => {
    // as libp2p's metrics do: who comes first has it calculated
    const { values } = groups[name] ??= { values: {}, calculate: options.calculate }

    return {
      update: (update: Record<string, number>) => { Object.assign(values, update) },
      increment: (labels: Record<string, number | true>) => {
        for (const [label, by] of Object.entries(labels)) {
          values[label] = (values[label] ?? 0) + Number(by)
        }
      }
    }
  }

  return {
    metrics: { registerMetricGroup: register, registerCounterGroup: register } as unknown as Metrics,
    values: () => Object.fromEntries(Object.entries(groups)
      .filter(([name]) => name.startsWith('libp2p_tcp_'))
      .flatMap(([name, { values, calculate }]) => Object.entries({ ...values, ...calculate?.() }).map(([label, value]) => [`${name} ${label}`, value])))
  }
}
