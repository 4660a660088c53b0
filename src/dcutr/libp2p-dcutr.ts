/**
 * The only file that knows how `@libp2p/dcutr` works inside. Its protocol code is used
 * unchanged. When it calls libp2p, this file answers
 */

import { AsyncLocalStorage } from 'node:async_hooks'
import { dcutr } from '@libp2p/dcutr'
import { DialError } from '@libp2p/interface'
import { abortError, throwIfAborted, withSignals } from '../abort.ts'
import type { Role } from '../upgrading/roles.ts'
import type { DCUtRServiceComponents, DCUtRServiceInit } from '@libp2p/dcutr'
import type { Connection, Stream } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

type OpenConnectionOptions = NonNullable<Parameters<DCUtRServiceComponents['connectionManager']['openConnection']>[1]>

/**
 * What `@libp2p/dcutr` does with a peer. The signal ends it. Without the signal it would only
 * have a time limit for each attempt, and would go on after `stop()`
 */
export interface Procedure {
  (signal: AbortSignal): Promise<void>
}

/** What happens when `@libp2p/dcutr` calls libp2p, or libp2p calls `@libp2p/dcutr` */
export interface DcutrAnswers {
  /** The addresses that the peer is asked to dial */
  candidates(): Multiaddr[]

  /**
   * A peer has dialed this node over a relay. `run` begins to dial the peer's announced addresses,
   * exchanges addresses with it and punches, up to three times
   */
  coordinate(relayed: Connection, run: Procedure): Promise<void>

  /**
   * A peer coordinates a punch with this node. `run` exchanges addresses with it and punches,
   * once
   */
  follow(relayed: Connection, run: Procedure): Promise<void>

  /** Begins to dial the addresses that the peer announces. The exchange does not wait for it */
  dialPlainly(relayed: Connection, multiaddrs: Multiaddr[]): void

  /**
   * Opens a direct connection to the peer of a relayed connection. The relayed connection is
   * closed as soon as it resolves. `signal` is that of the procedure
   */
  punch(wanted: WantedPunch, signal: AbortSignal): Promise<Connection>
}

export interface WantedPunch {
  readonly role: Role
  readonly relayed: Connection
  readonly multiaddrs: Multiaddr[]

  /** The round trip over the relay that the exchange has measured, in ms */
  readonly roundTrip: number

  /** The limit of the attempt, if the user has set `timeout` */
  readonly limit?: AbortSignal
}

/** A procedure that is under way */
interface Running {
  readonly relayed: Connection
  readonly signal: AbortSignal

  /** When this end sent its CONNECT, in ms */
  asked: number
}

/** Makes the service. The caller has to start and stop it */
export function wrapDcutr (components: DCUtRServiceComponents, init: DCUtRServiceInit, answers: DcutrAnswers): unknown {
  const { addressManager, connectionManager, logger, peerStore, registrar, transportManager } = components

  // a dial does not name its relayed connection, so the async context does
  const context = new AsyncLocalStorage<Running | undefined>()

  const service = dcutr(init)({
    logger,
    peerStore,
    transportManager,
    registrar: override(registrar, {
      handle: async (protocol, handler, options) => registrar.handle(protocol, async (stream, relayed) => {
        await answers.follow(relayed, async signal => abortStreams([stream], signal, async () => {
          await context.run({ relayed, signal, asked: 0 }, async () => handler(stream, withoutLimit(relayed)))
        }))
      }, options)
    }),
    addressManager: override(addressManager, {
      getAddresses: () => {
        const running = context.getStore()

        if (running != null) {
          running.asked = Date.now()
        }

        return answers.candidates()
      }
    }),
    connectionManager: override(connectionManager, {
      openConnection: async (peer, options = {}) => {
        const running = context.getStore()

        if (running == null || !Array.isArray(peer)) {
          return connectionManager.openConnection(peer, options)
        }

        // run without the context: a socket would keep the context, and with it the relayed
        // connection, in memory
        return context.run(undefined, async () => open(running, peer, options))
      }
    })
  }) as Coordinator

  const open = async ({ relayed, signal, asked }: Running, multiaddrs: Multiaddr[], options: OpenConnectionOptions): Promise<Connection> => {
    const role = roleInPunch(options)

    if (role == null) {
      // `@libp2p/dcutr` would wait for this dial, and begin the exchange when it has failed
      answers.dialPlainly(relayed, multiaddrs)
      throw new DialError(`${relayed.remotePeer} is dialed beside the exchange of addresses`)
    }

    const took = Date.now() - asked

    return answers.punch({
      role,
      relayed,
      multiaddrs,
      // the responder has sent a SYNC, and waited for half a round trip
      roundTrip: role === 'responder' ? Math.ceil(took / 1.5) : took,
      // `@libp2p/dcutr` has the same limit for the exchange and the punch. Its default suits the
      // exchange only
      limit: init.timeout == null ? undefined : options.signal
    }, signal)
  }

  const upgradeInbound = service.upgradeInbound.bind(service)
  service.upgradeInbound = async relayed => answers.coordinate(relayed, async signal => {
    const streams: Stream[] = []

    await abortStreams(streams, signal, async () => {
      await context.run({ relayed, signal, asked: 0 }, async () => upgradeInbound(withStreams(withoutLimit(relayed), streams, signal)))
    })
  })

  return service
}

/**
 * Only dials of a punch have a priority. A responder's dial has `initiator: false`. An
 * initiator's dial does not have the option. `contract.ts` notices if this changes
 */
function roleInPunch ({ priority, initiator }: OpenConnectionOptions): Role | undefined {
  if (priority != null) {
    return initiator === false ? 'responder' : 'initiator'
  }
}

/**
 * The method of the service that its registered topology calls when a peer has dialed this
 * node over a relay
 */
interface Coordinator {
  upgradeInbound(relayed: Connection): Promise<void>
}

/**
 * A connection whose new streams are added to `streams`. After the signal has aborted, no
 * stream can be opened. Each attempt first opens a stream, so all further attempts fail at once
 */
function withStreams (connection: Connection, streams: Stream[], signal: AbortSignal): Connection {
  return override(connection, {
    newStream: async (protocols, options = {}) => {
      throwIfAborted(signal)
      const signals = [signal, ...options.signal == null ? [] : [options.signal]]
      const stream = await withSignals(signals, async either => connection.newStream(protocols, { ...options, signal: either }))
      streams.push(stream)

      if (signal.aborted) {
        stream.abort(abortError(signal))
      }

      return stream
    }
  })
}

/**
 * A connection that closes without the limit of the attempt. That may have passed when the punch
 * has succeeded
 */
function withoutLimit (connection: Connection): Connection {
  return override(connection, { close: async () => connection.close() })
}

/** Runs `job`. When the signal aborts, the streams that `job` uses are aborted, too */
async function abortStreams (streams: Stream[], signal: AbortSignal, job: () => Promise<void>): Promise<void> {
  const onAbort = (): void => { streams.forEach(stream => { stream.abort(abortError(signal)) }) }
  signal.addEventListener('abort', onAbort)

  try {
    await job()
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** `target`, with some methods replaced */
function override <T extends object> (target: T, methods: Partial<T>): T {
  return new Proxy(target, {
    get: (target, name) => {
      const value = Reflect.get(methods, name) ?? Reflect.get(target, name)

      return typeof value === 'function' ? value.bind(target) : value
    }
  })
}
