import net from 'node:net'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { startServer } from '../fixtures/server.ts'
import { REUSES_PORTS, where } from '../fixtures/system.ts'
import { startNode } from '../kit/node.ts'
import { createTransport, rawUpgrader } from '../kit/transport.ts'
import type { ReuseportTcpDialEvents, SourcePort } from '../../src/index.ts'
import type { TestServer } from '../fixtures/server.ts'
import type { TestTransport } from '../kit/transport.ts'
import type { Libp2p, MultiaddrConnection, Upgrader } from '@libp2p/interface'
import type { Libp2pOptions } from 'libp2p'
import type { Socket } from 'node:net'

/** A line as multistream-select sends it */
function line (text: string): Buffer {
  return Buffer.concat([Buffer.from([text.length + 1]), Buffer.from(`${text}\n`)])
}

const HEADER = line('/multistream/1.0.0')
const KEY = Buffer.alloc(32, 7)
const NOISE_INITIATOR = Buffer.concat([HEADER, line('/noise'), Buffer.from([0, 32]), KEY])
const TLS_CLIENT_HELLO = Buffer.from([22, 3, 1, 0, 100, 1, 0, 0, 96, 3, 3])
const TLS_SERVER_HELLO = Buffer.from([22, 3, 3, 0, 100, 2, 0, 0, 96, 3, 3])

describe('simultaneous open', () => {
  const cleanup: Array<() => unknown> = []

  afterEach(async () => {
    await Promise.all(cleanup.splice(0).map(fn => fn()))
  })

  describe('seen in the first bytes of the peer', () => {
    let local: TestTransport

    /** Sends a proposal, reads what the peer sends, and fails */
    function failingUpgrader (encrypter: string, expected: number): Upgrader {
      return {
        ...rawUpgrader(async (connection: MultiaddrConnection) => {
          let received = 0
          connection.send(Buffer.concat([HEADER, line(encrypter)]))

          for await (const data of connection) {
            received += data.byteLength

            if (received >= expected) {
              break
            }
          }

          throw new Error('can not upgrade')
        }),
        getConnectionEncrypters: () => new Map([[encrypter, {}]])
      } as any
    }

    async function countDials (peerSends: Uint8Array, encrypter: string, options = {}): Promise<{ dials: number, ports: number[], port: number, sources: SourcePort[] }> {
      const server = await startServer('127.0.0.1', 0, socket => { socket.write(peerSends) })
      local = createTransport()
      cleanup.push(async () => local.stop(), async () => server.stop())
      const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')

      const sources: SourcePort[] = []
      await expect(local.transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`), {
        signal: AbortSignal.timeout(5_000),
        upgrader: failingUpgrader(encrypter, peerSends.byteLength),
        onProgress: (event: ReuseportTcpDialEvents) => {
          if (event.type === 'tcp:source-port') {
            sources.push(event.detail)
          }
        },
        ...options
      })).to.eventually.be.rejected().with.property('message', 'can not upgrade')

      return { dials: server.sockets.length, ports: server.ports, port, sources }
    }

    const initiators = {
      'the same proposal and the first message of a noise initiator': [NOISE_INITIATOR, '/noise'],
      'the same proposal and a TLS ClientHello': [Buffer.concat([HEADER, line('/tls/1.0.0'), TLS_CLIENT_HELLO]), '/tls/1.0.0'],
      'another proposal': [Buffer.concat([HEADER, line('/tls/1.0.0')]), '/noise']
    } as const

    Object.entries(initiators).forEach(([name, [bytes, encrypter]]) => {
      where(REUSES_PORTS).it(`dials once more, from an ephemeral port, after ${name}`, async () => {
        const { dials, ports, port, sources } = await countDials(bytes, encrypter)

        expect(dials).to.equal(2)
        expect(ports[0]).to.equal(port)
        expect(ports[1]).to.not.equal(port)
        expect(sources[1]).to.include({ kind: 'ephemeral', why: 'simultaneous_open', message: 'the peer dialed us at the same moment' })
      })
    })

    const responders = {
      'a refused proposal': [Buffer.concat([HEADER, line('na')]), '/noise'],
      'an accepted proposal and the first message of a noise responder': [Buffer.concat([HEADER, line('/noise'), Buffer.from([0, 96]), KEY, KEY, KEY]), '/noise'],
      'an accepted proposal and a TLS ServerHello': [Buffer.concat([HEADER, line('/tls/1.0.0'), TLS_SERVER_HELLO]), '/tls/1.0.0'],
      'an accepted proposal and nothing else': [Buffer.concat([HEADER, line('/noise')]), '/noise'],
      'a header and nothing else': [HEADER, '/noise'],
      garbage: [Buffer.alloc(100, 200), '/noise'],
      'text of another protocol': [Buffer.from('SSH-2.0-OpenSSH_9.2p1\r\n'), '/noise'],
      'as many bytes as we have sent, of an HTTP server': [Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), '/noise']
    } as const

    Object.entries(responders).forEach(([name, [bytes, encrypter]]) => {
      it(`does not dial again after ${name}`, async () => {
        expect(await countDials(bytes, encrypter)).to.have.property('dials', 1)
      })
    })

    it('does not dial again when the role was given', async () => {
      expect(await countDials(NOISE_INITIATOR, '/noise', { initiator: true })).to.have.property('dials', 1)
    })

    where(REUSES_PORTS).it('does not dial again when a listening port is required', async () => {
      expect(await countDials(NOISE_INITIATOR, '/noise', { reusePort: 'require' })).to.have.property('dials', 1)
    })

    it('does not dial again when the dial was not from a listening port', async () => {
      expect(await countDials(NOISE_INITIATOR, '/noise', { reusePort: false })).to.have.property('dials', 1)
    })
  })

  describe('between whole nodes', () => {
    async function start (options: Libp2pOptions = {}): Promise<Libp2p<any>> {
      const node = await startNode({
        services: { identify: identify(), ping: ping() },
        connectionGater: { denyDialMultiaddr: () => false },
        ...options
      })
      cleanup.push(async () => node.stop())

      return node
    }

    /**
     * Acts as initiator on the first connection, as the other end of a
     * simultaneous open does, and is an ordinary way to `peer` on the next ones
     */
    async function startCrossing (peer: Libp2p, first: (socket: Socket) => void): Promise<TestServer> {
      const [, , , , port] = peer.getMultiaddrs()[0].toString().split('/')
      let connections = 0
      const server = await startServer('127.0.0.1', 0, socket => {
        if (connections++ === 0) {
          first(socket)
          return
        }

        const onward = net.connect(Number(port), '127.0.0.1')
        onward.on('error', () => {})
        socket.pipe(onward).pipe(socket)
      })
      cleanup.push(async () => server.stop())

      return server
    }

    where(REUSES_PORTS).it('the dial succeeds, from an ephemeral port', async () => {
      const node = await start()
      const peer = await start()
      const server = await startCrossing(peer, socket => { socket.write(NOISE_INITIATOR) })

      const connection = await node.dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}/p2p/${peer.peerId}`))
      expect(connection.remotePeer.toString()).to.equal(peer.peerId.toString())
      expect(await node.services.ping.ping(peer.peerId)).to.be.a('number')
      expect(server.sockets).to.have.lengthOf(2)
    })

    it('a wrong peer is not dialed again', async () => {
      const node = await start()
      const peer = await start()
      const server = await startCrossing(peer, socket => {
        const onward = net.connect(Number(peer.getMultiaddrs()[0].toString().split('/')[4]), '127.0.0.1')
        onward.on('error', () => {})
        socket.pipe(onward).pipe(socket)
      })

      await expect(node.dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}/p2p/12D3KooWJRSrypvnpHgc6ZAgyCni4KcSmbV7uGRaMw5LgMKT18fq`)))
        .to.eventually.be.rejected()
      expect(server.sockets).to.have.lengthOf(1)
    })

    it('a peer that the gater refuses is not dialed again', async () => {
      const node = await start({ connectionGater: { denyDialMultiaddr: () => false, denyOutboundConnection: () => true } })
      const peer = await start()
      const server = await startCrossing(peer, socket => { socket.write(NOISE_INITIATOR) })

      await expect(node.dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}/p2p/${peer.peerId}`))).to.eventually.be.rejected()
      expect(server.sockets).to.have.lengthOf(1)
    })

    it('an aborted dial is not dialed again', async () => {
      const node = await start()
      const peer = await start()
      const controller = new AbortController()
      const server = await startCrossing(peer, socket => {
        socket.once('data', () => { controller.abort() })
        socket.write(NOISE_INITIATOR.subarray(0, 40))
      })

      await expect(node.dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}/p2p/${peer.peerId}`), { signal: controller.signal }))
        .to.eventually.be.rejected()
      expect(server.sockets).to.have.lengthOf(1)
    })
  })
})
