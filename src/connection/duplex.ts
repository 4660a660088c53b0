import { StreamResetError } from '@libp2p/interface'
import { StreamClosedError } from '@libp2p/utils'
import pDefer from 'p-defer'
import { pEvent } from 'p-event'
import type { RawConnection } from './connection.ts'
import type { StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import type { Duplex, Source } from 'it-stream-types'
import type { Uint8ArrayList } from 'uint8arraylist'

/** The two directions of a raw connection, as byte streams */
export type ConnectionDuplex = Duplex<AsyncGenerator<Uint8Array | Uint8ArrayList>, Source<Uint8Array | Uint8ArrayList>, Promise<void>>

/**
 * Turns a raw connection into a duplex of async iterables, for `it-pipe` and similar packages.
 * Both directions have back pressure.
 *
 * When the sink's source ends, a FIN is sent, and the connection stays open for reading. When
 * the peer sends its FIN, `source` ends, and the connection stays open for writing
 * (`allowHalfOpen` is set). The connection is closed when both directions have ended. If the
 * sink's source throws, or if a reader of `source` stops before its end, the connection is
 * aborted. If nobody reads `source`, the peer can't send more, and the connection stays open
 * until its inactivity timeout.
 *
 * The sink rejects if the connection is lost, or was closed before.
 */
export function toDuplex (connection: RawConnection): ConnectionDuplex {
  connection.allowHalfOpen = true

  return {
    source: read(connection),
    sink: async source => write(connection, source)
  }
}

/** Adds its event listeners at once, so that no event before the first read is missed */
function read (connection: RawConnection): AsyncGenerator<Uint8Array | Uint8ArrayList> {
  const received: Array<Uint8Array | Uint8ArrayList> = []
  let changed = pDefer<void>()
  let error = connection.status === 'aborted' || connection.status === 'reset' ? new StreamResetError() : undefined

  const onMessage = ({ data }: StreamMessageEvent): void => {
    received.push(data)
    // no more data until the reader asks for it
    connection.pause()
    changed.resolve()
  }
  const onClose = (event: StreamCloseEvent): void => { error = event.error }
  const onEnd = (): void => { changed.resolve() }

  connection.addEventListener('message', onMessage)
  connection.addEventListener('close', onClose)
  connection.addEventListener('end', onEnd)

  return (async function * () {
    try {
      while (true) {
        while (received.length > 0) {
          yield * received.splice(0)
        }

        if (error != null) {
          throw error
        }

        if (connection.readableEnded) {
          return
        }

        changed = pDefer()
        connection.resume()
        await changed.promise
      }
    } finally {
      connection.removeEventListener('message', onMessage)
      connection.removeEventListener('close', onClose)
      connection.removeEventListener('end', onEnd)

      if (!connection.readableEnded) {
        connection.abort(new StreamResetError('Reading was stopped before the end of the data'))
      }
    }
  })()
}

async function write (connection: RawConnection, source: Source<Uint8Array | Uint8ArrayList>): Promise<void> {
  try {
    for await (const data of source) {
      if (!connection.send(data)) {
        await pEvent(connection, 'drain', { rejectionEvents: ['close'] }).catch(({ error }: StreamCloseEvent) => {
          throw error ?? new StreamClosedError('The connection was closed before all data was sent')
        })
      }
    }

    await connection.closeWrite()
  } catch (err: any) {
    connection.abort(err)
    throw err
  }
}
