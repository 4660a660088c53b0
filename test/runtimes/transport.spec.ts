import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net, { isIPv6 } from 'node:net'
import os from 'node:os'
import { expect } from 'aegir/chai'
import { pEvent } from 'p-event'
import { toDuplex } from '../../src/index.ts'
import { readBytes, startServer } from '../fixtures/server.ts'
import { exchange, sendBack } from '../kit/echo.ts'
import { createTransport, rawUpgrader } from '../kit/transport.ts'
import { within } from '../kit/wait.ts'
import { reusesPorts, runtime } from './runtime.ts'
import type { RawConnection, SourcePort } from '../../src/index.ts'
import type { TestServer } from '../fixtures/server.ts'
import type { TestTransport } from '../kit/transport.ts'
import type { Listener, StreamCloseEvent } from '@libp2p/interface'
import type { Socket } from 'node:net'

/**
 * How long a close may take, in ms. After a second it would do without the peer's
 * FIN, see connection.ts
 */
const CLOSE_LIMIT = 800

/** How much is sent, in bytes */
const LENGTH = 100_000

const hasIPv6 = Object.values(os.networkInterfaces()).flat().some(own => own?.address === '::1')

async function endOf (socket: Socket): Promise<string> {
  // once() rejects if the socket has an error before
  return once(socket, 'end').then(() => 'FIN', () => 'RST')
}

describe(`the transport in ${runtime}`, function () {
  this.timeout(5_000)

  for (const host of hasIPv6 ? ['127.0.0.1', '::1'] : ['127.0.0.1']) {
    const ip = isIPv6(host) ? 'ip6' : 'ip4'

    describe(`over ${ip}`, () => {
      let local: TestTransport
      let server: TestServer
      let listener: Listener
      let listening: number

      /** How the connection ends, as the server sees it */
      let ending: Promise<string>

      beforeEach(async () => {
        local = createTransport();
        ({ listener, port: listening } = await local.listen(`/${ip}/${host}/tcp/0`, rawUpgrader(connection => { void sendBack(connection) })))
        server = await startServer(host, 0, socket => {
          ending = endOf(socket)
          socket.pipe(socket)
        })
      })

      afterEach(async () => {
        await local.stop()
        await server.stop()
      })

      async function dialPeer (): Promise<{ connection: RawConnection, source: SourcePort, peer: Socket }> {
        const dialed = await local.connect(`/${ip}/${host}/tcp/${server.port}`)

        return { ...dialed, peer: await server.socket(0) }
      }

      async function closeError (connection: RawConnection): Promise<Error | undefined> {
        return (await pEvent<'close', StreamCloseEvent>(connection, 'close')).error
      }

      it(`peers see ${reusesPorts ? 'the listening port' : 'another port than the listening one'}, which the transport tells`, async () => {
        const { peer: { remotePort }, source: { localAddr, kind } } = await dialPeer()

        expect(localAddr?.toString()).to.equal(`/${ip}/${host}/tcp/${remotePort}`)
        expect(remotePort === listening).to.equal(reusesPorts)
        expect(kind === 'ephemeral').to.equal(!reusesPorts)
      })

      it('send and receive', async () => {
        await exchange((await dialPeer()).connection, randomBytes(LENGTH))
      })

      it('half-close', async () => {
        const { source, sink } = toDuplex((await dialPeer()).connection)
        const sent = randomBytes(LENGTH)
        const received: Uint8Array[] = []
        const sending = sink([sent])

        for await (const data of source) {
          received.push(data.subarray())
        }

        await sending
        // chai would print all of it
        expect(Buffer.concat(received).equals(sent), 'the bytes are the same').to.equal(true)
      })

      it('a close sends FIN', async () => {
        const { connection } = await dialPeer()
        await within(CLOSE_LIMIT, connection.close(), 'The close')

        expect(await ending).to.equal('FIN')
      })

      it('an abort sends RST', async () => {
        const { connection } = await dialPeer()
        connection.abort(new Error('That is the test'))

        expect(await ending).to.equal('RST')
      })

      it('closed by the peer', async () => {
        const { connection, peer } = await dialPeer()
        const error = closeError(connection)
        peer.end()

        expect(await error).to.equal(undefined)
      })

      it('reset by the peer', async () => {
        const { connection, peer } = await dialPeer()
        const error = closeError(connection)
        peer.resetAndDestroy()

        expect(await error).to.be.an('error')
      })

      it('accept, and stop listening', async () => {
        const sent = randomBytes(LENGTH)
        const socket = net.connect({ host, port: listening, allowHalfOpen: true })
        const ended = once(socket, 'end')
        socket.write(sent)
        const received = await readBytes(socket, LENGTH)
        expect(received.equals(sent), 'the bytes are the same').to.equal(true)
        socket.end()
        await ended
        await listener.close()

        const refused = net.connect({ host, port: listening })
        expect((await once(refused, 'error'))[0]).to.have.property('code', 'ECONNREFUSED')
      })

      if (ip === 'ip6') {
        it('the port of 0.0.0.0 is free on ::', async () => {
          const { port } = await local.listen('/ip4/0.0.0.0/tcp/0')
          const listening = local.listen(`/ip6/::/tcp/${port}`)

          if (runtime === 'deno') {
            // it has no IPV6_V6ONLY: a socket that listens on :: has the port on 0.0.0.0 too
            await expect(listening).to.eventually.be.rejected().with.property('code', 'EADDRINUSE')
          } else {
            await listening
          }
        })
      }
    })
  }
})
