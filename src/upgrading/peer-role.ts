/**
 * The peer's role can be another one than expected. Two things tell the peer's role:
 *
 * - its first bytes, if this end is the initiator: {@link watchForInitiator}
 * - its silence, if the peer should be the initiator, or may be: {@link startsToSpeak}
 */

import pDefer from 'p-defer'
import { untilAborted } from '../abort.ts'
import type { Socket } from 'node:net'

/**
 * In a private network both ends begin with a nonce, whatever their role (libp2p specs,
 * `pnet/Private-Networks-PSK-V1.md`)
 */
const PRIVATE_NETWORK_NONCE_BYTES = 24

/**
 * How many of the peer's first bytes are examined. This is enough for the multistream header,
 * a protocol name, and the start of the first handshake message
 */
const WATCHED_BYTES = 256

/**
 * The first line that each end sends (multistream-select spec). Some responders send it
 * without being asked (go-multistream)
 */
const MULTISTREAM = '/multistream/1.0.0'

/**
 * An initiator's first message has 32 bytes. Its length, in two bytes, stands in front. A
 * responder's first message is longer: it also has the encrypted static key and a payload
 * (libp2p specs, `noise/README.md`)
 */
const NOISE_FIRST_MESSAGE = [0, 32]

/**
 * A TLS client begins with a handshake record (22) that has a ClientHello (1) at
 * its sixth byte (RFC 8446, sections 4 and 5.1)
 */
const TLS_HANDSHAKE = 22
const TLS_CLIENT_HELLO = 1

/** The length of a TLS alert that is not encrypted (RFC 8446, sections 5.1 and 6) */
const TLS_ALERT_BYTES = 7

const NOTHING = Buffer.alloc(0)

/**
 * Keeps the first bytes that the peer sends on a dialed connection. They tell whether the peer
 * dialed this end at the same moment. Then both SYNs crossed, TCP made one connection from
 * them (a simultaneous open, RFC 9293 section 3.5), and both ends act as initiator (libp2p
 * specs, `connections/simopen.md`).
 *
 * The kernel does not tell how a connection came about, but the peer's bytes do. A responder
 * only repeats the protocol that this end proposes, or answers `na`. Its first handshake
 * message is a responder's. So the peer is an initiator in three cases:
 *
 * - It names a protocol that is not the one that this end proposed first.
 * - It names the same protocol, and its next message is an initiator's first message.
 * - The network is a private one (pnet), and the peer has sent as many bytes as this end, and
 * more than a proposal. The bytes can't be read here, so only their number is known. Two
 * initiators with the same software send equally much. A responder's messages have other
 * lengths. This end sends more than a proposal only if the peer has the key of the network and
 * has named the same protocol. So no other server is taken for an initiator, whatever it sends.
 *
 * An upgrade that fails for another reason (no common protocol, wrong peer, wrong keys,
 * garbage, silence) is none of these cases, and the peer is not dialed a second time.
 *
 * @param socket
 * @param isPrivateNetwork - Is the connection going to be protected by a pre-shared key?
 * @returns a function that takes the protocol that this end proposed first, and returns whether
 * the peer is an initiator
 */
export function watchForInitiator (socket: Socket, isPrivateNetwork: boolean): (proposed: string | undefined) => boolean {
  let start = NOTHING

  const onData = (data: Buffer): void => {
    start = Buffer.concat([start, data.subarray(0, WATCHED_BYTES - start.byteLength)])

    if (start.byteLength === WATCHED_BYTES) {
      socket.off('data', onData)
    }
  }

  socket.on('data', onData)

  return proposed => {
    socket.off('data', onData)

    return isPrivateNetwork ? isAsTalkative(socket, proposed) : isInitiator(start, proposed)
  }
}

/**
 * Has the peer sent as many bytes as this end, and more than a proposal? With TLS, this end may
 * have sent an alert in addition: a TLS client that receives a ClientHello answers with an
 * alert
 */
function isAsTalkative ({ bytesRead, bytesWritten }: Pick<Socket, 'bytesRead' | 'bytesWritten'>, proposed: string = ''): boolean {
  const proposal = PRIVATE_NETWORK_NONCE_BYTES + lineLength(MULTISTREAM) + lineLength(proposed)
  const ahead = bytesWritten - bytesRead

  return bytesRead > proposal && (ahead === 0 || (proposed === '/tls/1.0.0' && ahead === TLS_ALERT_BYTES))
}

function isInitiator (start: Buffer, proposed: string | undefined): boolean {
  const header = readLine(start)
  const named = header?.line === MULTISTREAM ? readLine(header.rest) : undefined

  if (named?.line.startsWith('/') !== true) {
    return false
  }

  if (named.line !== proposed) {
    return true
  }

  const { rest } = named

  switch (proposed) {
    case '/noise':
      return rest[0] === NOISE_FIRST_MESSAGE[0] && rest[1] === NOISE_FIRST_MESSAGE[1]
    case '/tls/1.0.0':
      return rest[0] === TLS_HANDSHAKE && rest[5] === TLS_CLIENT_HELLO
    default:
      return false
  }
}

/**
 * A multistream line begins with its length and ends with a newline. The names that matter
 * here are short, so the length is one byte
 */
function readLine (bytes: Buffer): { line: string, rest: Buffer } | undefined {
  const end = 1 + bytes[0]

  if (bytes.byteLength < end || bytes[end - 1] !== 0x0a) {
    return
  }

  return { line: bytes.toString('utf-8', 1, end - 1), rest: bytes.subarray(end) }
}

function lineLength (line: string): number {
  return 1 + line.length + 1
}

export interface StartsToSpeakOptions {
  /** How long to wait, in ms */
  timeout: number

  /**
   * Is the connection protected by a pre-shared key? Then this end's nonce must have been sent
   * before. Initiators of `@libp2p/pnet` and rust-libp2p are silent until they have it
   */
  isPrivateNetwork: boolean
  signal: AbortSignal
}

/**
 * Waits for the first bytes of a peer that may be the initiator. An initiator proposes a
 * protocol at once. A responder waits for the proposal. If the peer is silent, both ends are
 * responders: the dials did not meet, one of them arrived at a listener of the other end.
 *
 * @returns whether the peer has sent more than a responder sends without being asked
 * @throws {AbortError}
 */
export async function startsToSpeak (socket: Socket, { timeout, isPrivateNetwork, signal }: StartsToSpeakOptions): Promise<boolean> {
  const unasked = lineLength(MULTISTREAM) + (isPrivateNetwork ? PRIVATE_NETWORK_NONCE_BYTES : 0)
  const waited = pDefer<void>()
  const hasSpoken = (): boolean => socket.bytesRead > unasked
  const onData = (): void => {
    if (hasSpoken()) {
      waited.resolve()
    }
  }
  // an event loop that is late runs timers before it reads what has arrived
  const timer = setTimeout(() => { setImmediate(waited.resolve) }, timeout)
  socket.on('data', onData)
  socket.once('close', waited.resolve)
  // the peer may have spoken before
  onData()

  try {
    await untilAborted(waited.promise, signal)

    return hasSpoken()
  } finally {
    clearTimeout(timer)
    socket.off('data', onData)
    socket.off('close', waited.resolve)
  }
}
