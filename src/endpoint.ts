/**
 * An IP address and a TCP port. IPv6 addresses are in their canonical short
 * form, with `%zone` appended where a zone is needed
 */
export interface Endpoint {
  readonly host: string
  readonly port: number
}

export type Family = 4 | 6

export function familyOf (host: string): Family {
  return host.includes(':') ? 6 : 4
}

export function isLoopback (host: string): boolean {
  return host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

export function isWildcard (host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

/**
 * By which an endpoint is found in a map
 */
export function keyOf ({ host, port }: Endpoint): string {
  return `${host} ${port}`
}
