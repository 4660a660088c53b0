import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { isIPv6 } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { expect } from 'aegir/chai'
import { pEvent } from 'p-event'
import { toDuplex } from '../../src/index.ts'
import { exchange, sendBack } from '../kit/echo.ts'
import { createTransport, rawUpgrader } from '../kit/transport.ts'
import { within } from '../kit/wait.ts'
import { reusesPorts, runtime } from './runtime.ts'
import type { RawConnection, SourcePort } from '../../src/index.ts'
import type { TestTransport } from '../kit/transport.ts'
import type { Listener, StreamCloseEvent } from '@libp2p/interface'
import type { ChildProcess } from 'node:child_process'

/**
 * How long a close may take, in ms. After a second it would do without the peer's
 * FIN, see connection.ts
 */
const CLOSE_LIMIT = 800

/**
 * How much is sent, in bytes
 */
const LENGTH = 100_000

const hasIPv6 = Object.values(os.networkInterfaces()).flat().some(own => own?.address === '::1')

describe(`the transport in ${runtime}`, function () {
  this.timeout(5_000)

  let peers: ChildProcess
  let url: string

  before(async () => {
    const node = path.join(import.meta.dirname, '../../node_modules/.bin/node')
    peers = spawn(node, [path.join(import.meta.dirname, 'peers.ts')], { stdio: ['pipe', 'pipe', 'inherit'] })
    url = String((await once(peers.stdout ?? peers, 'data'))[0]).trim()
  })

  after(() => { peers.kill() })

  /**
   * @throws {Error} if the peers could not do it
   */
  async function ask (action: string, ...args: Array<string | number>): Promise<any> {
    const response = await fetch([url, action, ...args.map(encodeURIComponent)].join('/'))

    if (!response.ok) {
      throw new Error(await response.text())
    }

    return response.json()
  }

  for (const host of hasIPv6 ? ['127.0.0.1', '::1'] : ['127.0.0.1']) {
    const ip = isIPv6(host) ? 'ip6' : 'ip4'

    describe(`over ${ip}`, () => {
      let local: TestTransport
      let listener: Listener
      let listening: number

      beforeEach(async () => {
        local = createTransport();
        ({ listener, port: listening } = await local.listen(`/${ip}/${host}/tcp/0`, rawUpgrader(connection => { void sendBack(connection) })))
      })

      afterEach(async () => local.stop())

      interface DialedPeer {
        connection: RawConnection
        source: SourcePort
        port: number
      }

      async function dialPeer (): Promise<DialedPeer> {
        const port = await ask('listen', host)

        return { ...await local.connect(`/${ip}/${host}/tcp/${port}`), port }
      }

      async function closeError (connection: RawConnection): Promise<Error | undefined> {
        return (await pEvent<'close', StreamCloseEvent>(connection, 'close')).error
      }

      it(`peers see ${reusesPorts ? 'the listening port' : 'another port than the listening one'}, which the transport tells`, async () => {
        const { port, source: { localAddr, kind } } = await dialPeer()
        const seen = await ask('source', port)

        expect(localAddr?.toString()).to.equal(`/${ip}/${host}/tcp/${seen}`)
        expect(seen === listening).to.equal(reusesPorts)
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
        const { connection, port } = await dialPeer()
        await within(CLOSE_LIMIT, connection.close(), 'The close')

        expect(await ask('ending', port)).to.equal('FIN')
      })

      it('an abort sends RST', async () => {
        const { connection, port } = await dialPeer()
        connection.abort(new Error('That is the test'))

        expect(await ask('ending', port)).to.equal('RST')
      })

      it('closed by the peer', async () => {
        const { connection, port } = await dialPeer()

        expect(await Promise.all([closeError(connection), ask('end', port)])).to.deep.equal([undefined, null])
      })

      it('reset by the peer', async () => {
        const { connection, port } = await dialPeer()
        const [error] = await Promise.all([closeError(connection), ask('reset', port)])

        expect(error).to.be.an('error')
      })

      it('accept, and stop listening', async () => {
        await ask('dial', host, listening, LENGTH)
        await listener.close()
        await expect(ask('dial', host, listening, LENGTH)).to.eventually.be.rejectedWith('ECONNREFUSED')
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
