import { once } from 'node:events'
import net from 'node:net'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import { defaultLogger } from '@libp2p/logger'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { ACCEPTED_SILENCE_MS } from '../../src/upgrading/time-limits.ts'
import { startBlackhole, startServer } from '../fixtures/server.ts'
import { createTransport, rawUpgrader } from '../kit/transport.ts'
import { until } from '../kit/wait.ts'
import type { TestServer } from '../fixtures/server.ts'
import type { TestTransport } from '../kit/transport.ts'
import type { ComponentLogger, Connection, MessageStreamDirection, MultiaddrConnection } from '@libp2p/interface'
import type { Socket } from 'node:net'

const PEER = '12D3KooWJRSrypvnpHgc6ZAgyCni4KcSmbV7uGRaMw5LgMKT18fq'
const HEADER = '\x13/multistream/1.0.0\n'
const PROPOSAL = `${HEADER}\x07/noise\n`

/** In which role a connection is upgraded, and with whom */
interface Upgraded {
  direction: MessageStreamDirection
  initiator?: boolean
  remoteAddr: string
}

describe('role of an upgrade', () => {
  let local: TestTransport
  const cleanup: Array<() => unknown> = []

  beforeEach(() => {
    local = createTransport()
  })

  afterEach(async () => {
    await local.stop()
    await Promise.all(cleanup.splice(0).map(fn => fn()))
  })

  /** A peer that sends something on each connection, after a while in ms */
  async function serve (data?: string, after = 0): Promise<TestServer> {
    const server = await startServer('127.0.0.1', 0, socket => {
      if (data != null) {
        setTimeout(() => { socket.write(data) }, after)
      }
    })
    cleanup.push(async () => server.stop())

    return server
  }

  describe('of a dial', () => {
    async function dial (port: number, initiator?: boolean): Promise<Upgraded | undefined> {
      let upgraded: Upgraded | undefined
      const connection = await local.transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${port}`), {
        upgrader: rawUpgrader(({ direction, remoteAddr }, options: any) => {
          upgraded = { direction, initiator: options.initiator, remoteAddr: remoteAddr.toString() }
        }),
        initiator,
        signal: AbortSignal.timeout(5_000)
      })
      connection.abort(new Error('seen'))

      return upgraded
    }

    const ROLES: Array<[initiator: boolean | undefined, direction: MessageStreamDirection]> = [[undefined, 'outbound'], [true, 'outbound'], [false, 'inbound']]
    ROLES.forEach(([initiator, direction]) => {
      it(`is handed to upgrader and muxer: initiator ${String(initiator)}, ${direction}`, async () => {
        const { port } = await serve(PROPOSAL)

        expect(await dial(port, initiator)).to.include({ direction, initiator })
      })
    })

    it('stays that of the responder if the first bytes of the peer were lost and sent again', async () => {
      // its SYN-ACK was sent again after a second, and it has waited for us, too
      const { port } = await serve(PROPOSAL, 1_600)

      expect(await dial(port, false)).to.include({ direction: 'inbound', initiator: false })
    })

    it('becomes that of the initiator if the peer, who should have it, says nothing', async () => {
      const { port } = await serve()

      expect(await dial(port, false)).to.include({ direction: 'outbound', initiator: true })
    })

    for (const [what, greeting, upgraded] of [
      ['becomes that of the responder if the dial took longer than a responder waits, and the peer speaks', PROPOSAL, { direction: 'inbound', initiator: false }],
      ['stays that of the initiator if the dial took that long, and the peer is silent', HEADER, { direction: 'outbound', initiator: true }]
    ] as const) {
      it(what, async () => {
        const blackhole = await startBlackhole('127.0.0.1', 0, greeting)
        cleanup.push(async () => blackhole.stop())
        const dialing = dial(blackhole.port, true)
        // the SYN is sent again after one and after three seconds
        await delay(1_500)
        blackhole.release()

        expect(await dialing).to.include(upgraded)
      })
    }
  })

  it('that fails is in the error log, as with @libp2p/tcp', async () => {
    const errors: string[] = []
    const logger: ComponentLogger = {
      forComponent: name => Object.assign(defaultLogger().forComponent(name), { error: (format: string) => { errors.push(format) } })
    }
    const { transport, stop } = createTransport({}, { logger })
    cleanup.push(stop)
    const { port } = await serve()
    const upgrader = rawUpgrader(() => { throw new Error('no') })

    await expect(transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${port}`), { upgrader, signal: AbortSignal.timeout(5_000) })).to.eventually.be.rejected()
    expect(errors).to.deep.equal(['error upgrading outbound connection to %a - %e'])
  })

  describe('of a connection that arrives while a hole is punched', () => {
    /** Listens, and notes the upgrades */
    async function listen (): Promise<{ port: number, upgrades: Upgraded[] }> {
      const upgrades: Upgraded[] = []
      const note = ({ direction, remoteAddr }: MultiaddrConnection): void => {
        upgrades.push({ direction, remoteAddr: remoteAddr.toString() })
      }
      const { port } = await local.listen('/ip4/127.0.0.1/tcp/0', rawUpgrader(note))

      return { port, upgrades }
    }

    async function punch (port: number, { host = '/ip4/127.0.0.1', signal = AbortSignal.timeout(5_000) } = {}): Promise<Connection> {
      return local.transport.dial(multiaddr(`${host}/tcp/${port}/p2p/${PEER}`), { upgrader: rawUpgrader(), initiator: true, signal })
    }

    /**
     * Dials a port that nobody listens on. As such a dial fails, the peer may still dial us
     * from there
     */
    async function failToPunch (options?: Parameters<typeof punch>[1]): Promise<void> {
      const server = await startServer()
      await server.stop()
      await expect(punch(server.port, options)).to.eventually.be.rejected().with.property('code', 'ECONNREFUSED')
    }

    /** This thread does nothing for so many ms, like one that is busy */
    function block (time: number): void {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, time)
    }

    function arrive (port: number): Socket {
      const socket = net.connect({ host: '127.0.0.1', port })
      socket.on('error', () => {})
      cleanup.push(() => { socket.destroy() })

      return socket
    }

    it('is that of the initiator towards a silent peer, while the punch goes on', async () => {
      const { port, upgrades } = await listen()
      const punching = new AbortController()
      const blackhole = await startBlackhole()
      cleanup.push(async () => blackhole.stop())
      const dial = punch(blackhole.port, { signal: punching.signal })

      // somebody else at that address
      arrive(port).write(PROPOSAL)
      await until(() => upgrades.length === 1)
      expect(upgrades[0]).to.have.property('direction', 'inbound')

      // a responder of go-libp2p
      const silent = arrive(port)
      silent.write(HEADER)
      await until(() => upgrades.length === 2)
      expect(upgrades[1]).to.deep.equal({ direction: 'outbound', remoteAddr: `/ip4/127.0.0.1/tcp/${silent.localPort}/p2p/${PEER}` })

      punching.abort()
      await expect(dial).to.eventually.be.rejected().with.property('name', 'AbortError')
      arrive(port)
      await until(() => upgrades.length === 3)
      expect(upgrades[2]).to.have.property('direction', 'inbound')
    })

    it('is that of the initiator also a while after the dial failed, as the kernel can not make the same connection twice', async () => {
      const { port, upgrades } = await listen()
      await failToPunch()

      arrive(port)
      await until(() => upgrades.length === 1)
      expect(upgrades[0]).to.have.property('direction', 'outbound')
    })

    it('is that of the responder if the first bytes of the peer are here, but not read in time', async () => {
      const { port, upgrades } = await listen()
      await failToPunch()

      const socket = arrive(port)
      await once(socket, 'connect')
      await turn()
      socket.write(PROPOSAL)
      block(2 * ACCEPTED_SILENCE_MS)
      await until(() => upgrades.length === 1)
      expect(upgrades[0]).to.have.property('direction', 'inbound')
    })

    it('is that of the initiator if the peer was dialed at an IPv4-mapped address', async () => {
      const { port, upgrades } = await listen()
      await failToPunch({ host: '/ip6/::ffff:127.0.0.1' })

      arrive(port)
      await until(() => upgrades.length === 1)
      expect(upgrades[0]).to.have.property('direction', 'outbound')
    })
  })
})
