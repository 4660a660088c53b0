import { randomBytes } from 'node:crypto'
import { expect } from 'aegir/chai'
import { pEvent } from 'p-event'
import { portOf } from '../kit/addresses.ts'
import { echo, serveEcho } from '../kit/echo.ts'
import { startNode } from './node.ts'
import { reusesPorts, runtime } from './runtime.ts'
import type { Node } from './node.ts'
import type { ReuseportTcpDialEvents, SourcePort } from '../../src/index.ts'
import type { Connection, OpenConnectionProgressEvents } from '@libp2p/interface'

describe(`nodes in ${runtime}`, function () {
  this.timeout(5_000)

  let node: Node
  let peer: Node

  before(async () => {
    node = await startNode()
    peer = await startNode()
    await serveEcho(peer)
  })

  after(async () => {
    await Promise.all([node.stop(), peer.stop()])
  })

  async function dial (): Promise<{ connection: Connection, source?: SourcePort }> {
    let source: SourcePort | undefined

    const connection = await node.dial(peer.getMultiaddrs(), {
      force: true,
      onProgress: (event: OpenConnectionProgressEvents | ReuseportTcpDialEvents) => {
        if (event.type === 'tcp:source-port') {
          source = event.detail
        }
      }
    })

    return { connection, source }
  }

  it(`peers see ${reusesPorts ? 'the listening port' : 'another port than the listening one'}, which the transport tells`, async () => {
    const { connection, source } = await dial()
    const { observedAddr } = await node.services.identify.identify(connection)

    expect(portOf(observedAddr)).to.be.greaterThan(0)
    expect(portOf(source?.localAddr)).to.equal(portOf(observedAddr))
    expect(portOf(observedAddr) === portOf(node.getMultiaddrs()[0])).to.equal(reusesPorts)
    expect(source?.kind === 'ephemeral').to.equal(!reusesPorts)
  })

  it('ping', async () => {
    await node.services.ping.ping(peer.peerId)
  })

  it('send and receive', async () => {
    const { connection } = await dial()
    const echoed = echo(connection, randomBytes(100_000), AbortSignal.timeout(4_000))

    if (runtime === 'bun') {
      // it has no chacha20-poly1305 cipher, which noise wants from node:crypto for large messages
      await expect(echoed).to.eventually.be.rejected().with.property('code', 'ERR_CRYPTO_UNKNOWN_CIPHER')
    } else {
      await echoed
    }
  })

  it('close', async () => {
    const { connection, source } = await dial()
    const closed = pEvent<'connection:close', CustomEvent<Connection>>(peer, 'connection:close', {
      filter: ({ detail: { remoteAddr } }) => portOf(remoteAddr) === portOf(source?.localAddr)
    })

    await Promise.all([closed, connection.close()])
  })
})
