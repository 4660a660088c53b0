/**
 * Each of them allows another connection from one and the same port
 */
export const LOOPBACK_HOSTS = Array.from({ length: 250 }, (_, i) => `127.0.0.${i + 1}`)

/**
 * A peer as a dialer needs to know it
 */
export interface PeerAddress {
  host: string
  port: number
}

export function toMultiaddr ({ host, port }: PeerAddress): string {
  return `/ip4/${host}/tcp/${port}`
}
