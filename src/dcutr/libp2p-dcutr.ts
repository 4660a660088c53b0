/**
 * The only file that knows how `@libp2p/dcutr` works inside. Its protocol code stays as it
 * is; what it asks of libp2p is answered by us
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
 * What `@libp2p/dcutr` does with a peer, to be run with a signal that ends it: its own end is
 * a time limit for each attempt, and it goes on after `stop()`
 */
export interface Procedure {
  (signal: AbortSignal): Promise<void>
}

/** The answers to what `@libp2p/dcutr` asks for */
export interface DcutrAnswers {
  /** The addresses that the peer is asked to dial */
  candidates(): Multiaddr[]

  /**
   * A peer has dialed us over a relay: `run` dials its announced addresses, exchanges
   * addresses with it and punches, up to three times
   */
  coordinate(relayed: Connection, run: Procedure): Promise<void>

  /** A peer coordinates a punch with us: `run` exchanges addresses with it and punches, once */
  follow(relayed: Connection, run: Procedure): Promise<void>

  /**
   * Opens a direct connection to the peer at the other end of a relayed one: by a punch in
   * this role, or by a plain dial of what the peer announces, before the first punch
   */
  dial(role: Role | undefined, relayed: Connection, multiaddrs: Multiaddr[], signal: AbortSignal): Promise<Connection>
}

/** Makes the service, which is to be started and stopped like any other */
export function wrapDcutr (components: DCUtRServiceComponents, init: DCUtRServiceInit, answers: DcutrAnswers): unknown {
  const { addressManager, connectionManager, logger, peerStore, registrar, transportManager } = components

  // a dial does not say for which relayed connection it is, so that goes with the async context
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

        // a socket keeps the context that it was made in, and with it the relayed connection
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
 * Only punches have a priority; the responder is told its role, the initiator is not.
 * `test/dcutr/libp2p-dcutr.spec.ts` notices if that changes
 */
function roleInPunch ({ priority, initiator }: OpenConnectionOptions): Role | undefined {
  if (priority != null) {
    return initiator === false ? 'responder' : 'initiator'
  }
}

/**
 * What the registered topology calls on the service itself when a peer has dialed us over a
 * relay
 */
interface Coordinator {
  upgradeInbound(relayed: Connection): Promise<void>
}

/**
 * A connection whose new streams are noted. Each attempt opens one first, so those that are
 * left when the signal aborts fail at once
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

/** Runs `job`, and aborts the streams that it waits on when the signal aborts */
async function abortStreams (streams: Stream[], signal: AbortSignal, job: () => Promise<void>): Promise<void> {
  const onAbort = (): void => { streams.forEach(stream => { stream.abort(abortError(signal)) }) }
  signal.addEventListener('abort', onAbort)

  try {
    await job()
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** An object that is like `target` but for some methods */
function override <T extends object> (target: T, methods: Partial<T>): T {
  return new Proxy(target, {
    get: (target, name) => {
      const value = Reflect.get(methods, name) ?? Reflect.get(target, name)

      return typeof value === 'function' ? value.bind(target) : value
    }
  })
}
