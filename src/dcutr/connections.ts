import { Circuit } from '@multiformats/multiaddr-matcher'
import { withSignals } from '../abort.ts'
import type { Connection } from '@libp2p/interface'

/** `libp2p specs, ping/ping.md`. Nearly all peers have it. A peer that has not says so */
const PROTOCOL = '/ipfs/ping/1.0.0'

/** What `newStream` throws although the peer has answered */
const ANSWERS = ['UnsupportedProtocolError', 'TooManyOutboundProtocolStreamsError']

/**
 * Waits until the peer has answered over a connection. When one end has finished its upgrade, the
 * other end may still fail. So a finished upgrade does not prove that both ends have a connection.
 * An answer over a stream does
 *
 * @throws {AbortError} when the signal aborts
 * @throws {Error} if the connection closes
 */
export async function untilAnswered (connection: Connection, signal: AbortSignal): Promise<void> {
  try {
    const stream = await connection.newStream([PROTOCOL], { signal })
    stream.close({ signal }).catch(err => { stream.abort(err) })
  } catch (err: any) {
    if (!ANSWERS.includes(err.name)) {
      throw err
    }
  }
}

/** Runs `job` with a signal that aborts when the connection closes, or one of `signals` aborts */
export async function whileOpen <T> (connection: Connection, signals: AbortSignal[], job: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const closed = new AbortController()
  const onClose = (): void => { closed.abort() }
  connection.addEventListener('close', onClose)

  try {
    return await withSignals([...signals, closed.signal], job)
  } finally {
    connection.removeEventListener('close', onClose)
  }
}

/**
 * `limits` can't tell a relayed connection: relays without limits set none. So look at the
 * address
 */
export function isDirect ({ remoteAddr, status }: Connection): boolean {
  return !Circuit.matches(remoteAddr) && status === 'open'
}
