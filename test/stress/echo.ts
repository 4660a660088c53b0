import { portOf } from '../kit/addresses.ts'
import type { RawConnection } from '../../src/index.ts'

/**
 * What a dialer asks an echo peer to do with a connection. It is sent as a line of JSON,
 * ahead of the bytes to echo
 */
export interface EchoOrder {
  /**
   * The port that the dialer believes to dial from
   */
  from: number

  /**
   * How many bytes follow
   */
  size: number

  /**
   * Close the connection when all of them are echoed
   */
  close?: boolean

  /**
   * Reset the connection once this many have arrived
   */
  resetAt?: number
}

/**
 * A connection whose peer echoes, under observation
 */
export interface Echo {
  /**
   * How much was echoed so far
   */
  readonly received: number

  /**
   * Rejects if it was not what was sent, or if the connection closes before
   */
  readonly complete: Promise<void>

  /**
   * Resolves when the connection is closed, with the error if there was one
   */
  readonly closed: Promise<Error | undefined>
}

export interface EchoInit {
  payload: Uint8Array
  close?: EchoOrder['close']
  resetAt?: EchoOrder['resetAt']

  /**
   * Invoked before anything was echoed, and with all that is
   */
  onReceived?(received: number): void
}

/**
 * Sends a payload to an {@link EchoPeer} and looks at what comes back
 */
export function startEcho (connection: RawConnection, { payload, onReceived, ...order }: EchoInit): Echo {
  const complete = Promise.withResolvers<void>()
  const closed = Promise.withResolvers<Error | undefined>()
  let received = 0

  // it is awaited only where the echo is expected to be complete
  complete.promise.catch(() => {})

  connection.addEventListener('message', ({ data }) => {
    const end = received + data.byteLength

    if (Buffer.compare(data.subarray(), payload.subarray(received, end)) !== 0) {
      connection.abort(new Error(`The echo is wrong between bytes ${received} and ${end}`))
      return
    }

    received = end
    onReceived?.(received)

    if (received === payload.byteLength) {
      complete.resolve()
    }
  })

  connection.addEventListener('close', ({ error }) => {
    closed.resolve(error)
    complete.reject(error ?? new Error(`Closed after ${received} of ${payload.byteLength} bytes`))
  })

  connection.send(orderFor(connection, { ...order, size: payload.byteLength }))
  connection.send(payload)
  onReceived?.(0)

  return {
    get received () {
      return received
    },
    complete: complete.promise,
    closed: closed.promise
  }
}

export function orderFor ({ localAddr }: RawConnection, order: Omit<EchoOrder, 'from'>): Uint8Array {
  return Buffer.from(`${JSON.stringify({ ...order, from: portOf(localAddr) })}\n`)
}
