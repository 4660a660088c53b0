import { randomBytes } from 'node:crypto'
import { isIPv6 } from 'node:net'
import { pEvent } from 'p-event'
import { toDuplex } from '../../src/index.ts'
import { createTransport, rawUpgrader } from '../fixtures/transport.ts'
import { within } from '../stress/within.ts'
import { LENGTH, echo, expectEqual, sendAndReceive } from './echo.ts'
import { step, whichPort } from './steps.ts'
import type { RawConnection, SourcePort } from '../../src/index.ts'
import type { Listener, StreamCloseEvent } from '@libp2p/interface'

/**
 * How long a close may take, in ms. After a second it would do without the peer's
 * FIN, see connection.ts
 */
const CLOSE_LIMIT = 800

interface DialedPeer {
  connection: RawConnection
  source: SourcePort

  /**
   * Has the peer do something
   */
  ask(action: 'source' | 'ending' | 'end' | 'reset'): Promise<any>
}

/**
 * Listens on a host, dials peers there, and closes, without an upgrader
 */
export async function tryTransport (host: string, peers: string): Promise<void> {
  const [family, ip] = isIPv6(host) ? ['IPv6', 'ip6'] : ['IPv4', 'ip4']
  const { listen, connect, stop } = createTransport()
  let listener: Listener | undefined
  let listening = 0

  const ask = async (action: string, ...args: Array<string | number>): Promise<any> => askPeers(peers, action, args)

  const dialPeer = async (): Promise<DialedPeer> => {
    const port = await ask('listen', host)

    return { ...await connect(`/${ip}/${host}/tcp/${port}`), ask: async action => ask(action, port) }
  }

  await step(`${family}: listen`, async () => {
    ({ listener, port: listening } = await listen(`/${ip}/${host}/tcp/0`, rawUpgrader(echo)))
  })

  await step(`${family}: port that the peer sees`, async () => {
    const { connection, source, ask } = await dialPeer()
    const seen = await ask('source')
    connection.abort(new Error('The port has been seen'))

    return whichPort(seen, listening, source)
  })

  await step(`${family}: send and receive`, async () => {
    const { connection } = await dialPeer()
    await sendAndReceive(connection)
    connection.abort(new Error('All has been received'))
  })

  await step(`${family}: half-close`, async () => {
    const { source, sink } = toDuplex((await dialPeer()).connection)
    const sent = randomBytes(LENGTH)
    const received: Uint8Array[] = []
    const sending = sink([sent])

    for await (const data of source) {
      received.push(data.subarray())
    }

    await sending
    expectEqual(received, sent)
  })

  await step(`${family}: what a close sends`, async () => {
    const { connection, ask } = await dialPeer()
    await within(CLOSE_LIMIT, connection.close(), 'it')

    return ask('ending')
  })

  await step(`${family}: what an abort sends`, async () => {
    const { connection, ask } = await dialPeer()
    connection.abort(new Error('That is the test'))

    return ask('ending')
  })

  await step(`${family}: closed by the peer`, async () => {
    const { connection, ask } = await dialPeer()
    const [error] = await Promise.all([closeError(connection), ask('end')])

    if (error != null) {
      throw error
    }
  })

  await step(`${family}: reset by the peer`, async () => {
    const { connection, ask } = await dialPeer()
    const [error] = await Promise.all([closeError(connection), ask('reset')])

    if (error == null) {
      throw new Error('closed without an error')
    }
  })

  await step(`${family}: accept`, async () => {
    await ask('dial', host, listening, LENGTH)
  })

  await step(`${family}: stop listening`, async () => {
    await listener?.close()
    const answer = await ask('dial', host, listening, LENGTH).then(() => 'still accepts', err => err.message)

    if (!answer.includes('ECONNREFUSED')) {
      throw new Error(answer)
    }
  })

  if (family === 'IPv6') {
    await step('IPv6: the port of 0.0.0.0, on ::', async () => {
      const { port } = await listen('/ip4/0.0.0.0/tcp/0')
      await listen(`/ip6/::/tcp/${port}`)
    })
  }

  await stop()
}

/**
 * @throws {Error} if the peer could not do it
 */
async function askPeers (url: string, action: string, args: Array<string | number>): Promise<any> {
  const response = await fetch([url, action, ...args.map(encodeURIComponent)].join('/'))

  if (!response.ok) {
    throw new Error(await response.text())
  }

  return response.json()
}

async function closeError (connection: RawConnection): Promise<Error | undefined> {
  return (await pEvent<'close', StreamCloseEvent>(connection, 'close')).error
}
