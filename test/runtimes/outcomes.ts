/**
 * What became of each step, by its name
 */
export type Outcomes = Record<string, string>

export const WORKS = 'works'
export const LISTENING_PORT = 'listening port'
export const OTHER_PORT = 'another port'
export const SAYS_NOTHING = 'nothing'
export const SAYS_WHY = 'why, once'
export const KEEPS_RUNNING = 'it does not'

/**
 * In the order of the columns
 */
export const RUNTIMES = ['Node', 'Bun', 'Deno']

type Row = [step: string, ...ofRuntimes: string[]]

/**
 * On IPv4 and on IPv6
 */
const OVER_IP: Row[] = [
  ['listen', WORKS, WORKS, WORKS],
  ['port that the peer sees', LISTENING_PORT, OTHER_PORT, OTHER_PORT],
  ['send and receive', WORKS, WORKS, WORKS],
  ['half-close', WORKS, WORKS, WORKS],
  ['what a close sends', 'FIN', 'FIN', 'FIN'],
  ['what an abort sends', 'RST', 'RST', 'RST'],
  ['closed by the peer', WORKS, WORKS, WORKS],
  ['reset by the peer', WORKS, WORKS, WORKS],
  ['accept', WORKS, WORKS, WORKS],
  ['stop listening', WORKS, WORKS, WORKS]
]

/**
 * What each step is expected to come to in each runtime. If a runtime does better
 * than that one day, the table in the README is to be changed as well
 */
export const EXPECTED: Row[] = [
  ...['IPv4', 'IPv6'].flatMap(family => OVER_IP.map(([step, ...outcomes]): Row => [`${family}: ${step}`, ...outcomes])),
  // Deno has no IPV6_V6ONLY: a socket that listens on :: has the port on 0.0.0.0 too
  ['IPv6: the port of 0.0.0.0, on ::', WORKS, WORKS, 'EADDRINUSE'],
  ['transport: what the log says', SAYS_NOTHING, SAYS_WHY, SAYS_WHY],
  ['transport: the process ends', WORKS, WORKS, WORKS],
  ['nodes: start', WORKS, WORKS, WORKS],
  ['nodes: port that the peer sees', LISTENING_PORT, OTHER_PORT, OTHER_PORT],
  ['nodes: ping', WORKS, WORKS, WORKS],
  // Bun has no chacha20-poly1305 cipher, which noise wants from node:crypto for large messages
  ['nodes: send and receive', WORKS, 'ERR_CRYPTO_UNKNOWN_CIPHER', WORKS],
  ['nodes: close', WORKS, WORKS, WORKS],
  ['nodes: stop', WORKS, WORKS, WORKS],
  ['nodes: what the log says', SAYS_NOTHING, SAYS_WHY, SAYS_WHY],
  // libp2p's locks keep a BroadcastChannel open, which Deno can't unref
  ['nodes: the process ends', WORKS, WORKS, KEEPS_RUNNING]
]
