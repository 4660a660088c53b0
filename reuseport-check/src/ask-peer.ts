import { PING_PROTOCOL } from '@libp2p/ping'
import { byteStream, getNetConfig } from '@libp2p/utils'
import { CODE_P2P } from '@multiformats/multiaddr'
import type { Node } from './node.ts'
import type { Answer } from './result.ts'
import type { Connection, OpenConnectionProgressEvents } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { ReuseportTcpDialEvents, SourcePort } from 'libp2p-reuseport-tcp'

/** How many round trips are measured. Their median is reported */
const PINGS = 5

/** The size of a ping in bytes, as in the ping protocol */
const PING_LENGTH = 32

/**
 * Dials one peer, asks which address it sees, and pings it. The connection stays open, so
 * that a NAT keeps its mapping while further peers are dialed.
 *
 * @param node - the node that dials
 * @param address - the peer's address
 * @param options - limits
 * @param options.timeout - for all steps together, in ms
 * @param options.signal - ends all steps early
 * @throws {Error} the reason of `signal`, when it aborts. Other errors are in the answer
 */
export async function askPeer (node: Node, address: Multiaddr, { timeout, signal }: { timeout: number, signal: AbortSignal }): Promise<Answer> {
  const answer: Answer = { peerId: null, reached: false, source: null, observed: null, connectMs: null, latencyMs: null, error: null }
  const timedOut = AbortSignal.timeout(timeout)
  const options = { signal: AbortSignal.any([signal, timedOut]) }
  const start = performance.now()
  let step = ''

  try {
    const connection = await node.dial(address, {
      ...options,
      // there may already be a connection to another address of this peer
      force: true,
      onProgress: (event: OpenConnectionProgressEvents | ReuseportTcpDialEvents) => {
        if (event.type === 'tcp:source-port') {
          answer.source = toSource(event.detail)
          step = 'connected, but there was no libp2p handshake: '
        }
      }
    })

    answer.connectMs = inMs(performance.now() - start)
    answer.reached = true
    answer.peerId = connection.remotePeer.toString()

    step = 'it does not say what it sees: '
    const { observedAddr } = await node.services.identify.identify(connection, options)
    answer.observed = observedAddr?.decapsulateCode(CODE_P2P).toString() ?? null

    step = 'it does not answer pings: '
    answer.latencyMs = inMs(await ping(connection, options.signal))
  } catch (err: any) {
    signal.throwIfAborted()
    answer.error = timedOut.aborted ? `${step}no answer within ${timeout / 1_000} s` : messageOf(err, step)
  }

  return answer
}

function toSource ({ localAddr, ...from }: SourcePort): Answer['source'] {
  return localAddr == null || from.kind === 'unix'
    ? null
    : { address: localAddr.toString(), port: getNetConfig(localAddr).port ?? 0, ...from }
}

/**
 * The ping service is not used: it pings over any connection to the peer, and measures
 * whole milliseconds only
 */
async function ping (connection: Connection, signal: AbortSignal): Promise<number> {
  const stream = await connection.newStream(PING_PROTOCOL, { signal })
  const bytes = byteStream(stream)
  const times: number[] = []

  try {
    while (times.length < PINGS) {
      const start = performance.now()
      await bytes.write(crypto.getRandomValues(new Uint8Array(PING_LENGTH)), { signal })
      await bytes.read({ bytes: PING_LENGTH, signal })
      times.push(performance.now() - start)
    }

    await stream.close({ signal })
  } catch (err: any) {
    stream.abort(err)
    throw err
  }

  return times.toSorted((a, b) => a - b)[Math.floor(PINGS / 2)]
}

function inMs (duration: number): number {
  return Number(duration.toFixed(2))
}

/** If several addresses were tried, the error of each one */
function messageOf (err: Error, step: string): string {
  if (err instanceof AggregateError) {
    return [...new Set(err.errors.map(err => messageOf(err, step)))].join('; ')
  }

  // only the text of @libp2p/noise tells
  const other = /^Payload identity key (\w+) does not match/.exec(err.message)?.[1]

  return other == null ? step + err.message : `another peer answers there: ${other}`
}
