/**
 * The only file that knows how `@libp2p/dcutr` works inside. Its protocol code is used
 * unchanged. When it calls libp2p, this file answers
 */

import { AsyncLocalStorage } from 'node:async_hooks'
import { dcutr } from '@libp2p/dcutr'
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
   * A peer has dialed this node over a relay. `run` dials the peer's announced addresses,
   * exchanges addresses with it and punches, up to three times
   */
  coordinate(relayed: Connection, run: Procedure): Promise<void>

  /**
   * A peer coordinates a punch with this node. `run` exchanges addresses with it and punches,
   * once
   */
  follow(relayed: Connection, run: Procedure): Promise<void>

  /**
   * Opens a direct connection to the peer of a relayed connection. With a role, this is a punch
   * in this role. Without one, it is the plain dial before the first punch, to the addresses
   * that the peer announces
   */
  dial(role: Role | undefined, relayed: Connection, multiaddrs: Multiaddr[], signal: AbortSignal): Promise<Connection>
}

/** Makes the service. The caller has to start and stop it */
export function wrapDcutr (components: DCUtRServiceComponents, init: DCUtRServiceInit, answers: DcutrAnswers): unknown {
  const { addressManager, connectionManager, logger, peerStore, registrar, transportManager } = components

  // a dial does not name its relayed connection, so the async context carries the connection
  const context = new AsyncLocalStorage<Connection | undefined>()

  const service = dcutr(init)({
    logger,
    peerStore,
    transportManager,
    registrar: override(registrar, {
      handle: async (protocol, handler, options) => registrar.handle(protocol, async (stream, relayed) => {
        await answers.follow(relayed, async signal => abortStreams([stream], signal, async () => {
          await context.run(relayed, async () => handler(stream, relayed))
        }))
      }, options)
    }),
    addressManager: override(addressManager, {
      getAddresses: () => answers.candidates()
    }),
    connectionManager: override(connectionManager, {
      openConnection: async (peer, options = {}) => {
        const relayed = context.getStore()

        if (relayed == null || !Array.isArray(peer)) {
          return connectionManager.openConnection(peer, options)
        }

        // run without the context: a socket would keep the context, and with it the relayed
        // connection, in memory
        return context.run(undefined, async () => answers.dial(roleInPunch(options), relayed, peer, options.signal ?? new AbortController().signal))
      }
    })
  }) as Coordinator

  const upgradeInbound = service.upgradeInbound.bind(service)
  service.upgradeInbound = async relayed => answers.coordinate(relayed, async signal => {
    const streams: Stream[] = []

    await abortStreams(streams, signal, async () => {
      await context.run(relayed, async () => upgradeInbound(withStreams(relayed, streams, signal)))
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
