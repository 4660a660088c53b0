import diagnostics from 'node:diagnostics_channel'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { defaultLogger } from '@libp2p/logger'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import pDefer from 'p-defer'
import { reuseportTcp } from '../src/index.ts'
import { startServer } from './fixtures/server.ts'
import { HAS_SO_REUSEPORT, REUSES_PORTS, where } from './fixtures/system.ts'
import { portOf } from './kit/addresses.ts'
import { portReuse } from './kit/port-reuse.ts'
import { rawUpgrader } from './kit/transport.ts'
import type { TestServer } from './fixtures/server.ts'
import type { ReuseportTcpInit } from '../src/index.ts'
import type { Listener, MultiaddrConnection, Transport } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Socket } from 'node:net'

/** The table of docs/differences.md: each row is tried with both transports */
describe('differences from @libp2p/tcp', () => {
  const DOCUMENT = fs.readFileSync(path.join(import.meta.dirname, '../docs/differences.md'), 'utf-8')
  const cleanup: Array<() => unknown> = []

  afterEach(async () => {
    await Promise.all(cleanup.splice(0).map(fn => fn()))
  })

  type Create = (init?: ReuseportTcpInit, components?: object) => Transport<any>

  const TRANSPORTS: Record<'theirs' | 'ours', Create> = {
    theirs: (init, components = {}) => tcp(init)({ logger: defaultLogger(), ...components }),
    ours: (init, components = {}) => reuseportTcp({ portReuse, ...init })({ logger: defaultLogger(), ...components })
  }

  async function listen (transport: Transport, address: string = '/ip4/127.0.0.1/tcp/0'): Promise<Listener> {
    const listener = transport.createListener({ upgrader: rawUpgrader() })
    await listener.listen(multiaddr(address))
    cleanup.push(async () => listener.close())

    return listener
  }

  async function serve (): Promise<TestServer & { address: Multiaddr }> {
    const server = await startServer('127.0.0.1', 0, socket => { socket.pause() })
    cleanup.push(async () => server.stop())

    return Object.assign(server, { address: multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`) })
  }

  /** A connection, and the other end of it, which keeps its half open and does not read */
  async function open (transport: Transport): Promise<{ connection: MultiaddrConnection, peer: Socket }> {
    const server = await serve()
    const connection = await transport.dial(server.address, { upgrader: rawUpgrader(), signal: AbortSignal.timeout(5_000) }) as unknown as MultiaddrConnection
    cleanup.push(() => { connection.abort(new Error('The test is over')) })

    return { connection, peer: await server.socket(0) }
  }

  /** What is sent is more than the kernel takes, and the last of it stays in the queue */
  async function queueData (connection: MultiaddrConnection): Promise<number> {
    connection.send(new Uint8Array(20_000_000))
    await delay(20)
    connection.send(new Uint8Array(100_000))

    return 20_100_000
  }

  async function outcomeOf (promise: Promise<unknown>, fulfilled: string): Promise<string> {
    return Promise.race([
      promise.then(() => fulfilled, err => err.code ?? err.name ?? 'what was given as reason'),
      delay(1_500, 'it never settles', { ref: false })
    ])
  }

  /** By what is tried: what becomes of it there, what here, and how that is found out */
  const ROWS: Record<string, [theirs: string, ours: string, attempt: (create: Create) => Promise<string>]> = {
    'a node that listens dials': ['from an ephemeral port', 'from the listening port', async create => {
      const transport = create()
      const port = portOf(await listen(transport))
      const server = await serve()
      await transport.dial(server.address, { upgrader: rawUpgrader(), signal: AbortSignal.timeout(5_000) })
      await server.socket(0)

      return server.ports[0] === port ? 'from the listening port' : 'from an ephemeral port'
    }],
    'a node that listens dials a closed port': ['one SYN', 'two, the second from an ephemeral port', async create => {
      const transport = create()
      await listen(transport)
      const server = await startServer()
      await server.stop()
      const sockets: Socket[] = []
      const onSocket = (message: any): void => { sockets.push(message.socket) }
      diagnostics.subscribe('net.client.socket', onSocket)
      cleanup.push(() => diagnostics.unsubscribe('net.client.socket', onSocket))
      await expect(transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`), { upgrader: rawUpgrader(), signal: AbortSignal.timeout(5_000) })).to.eventually.be.rejected()
        .with.property('code', 'ECONNREFUSED')

      return sockets.length === 1 ? 'one SYN' : 'two, the second from an ephemeral port'
    }],
    'a transport listens twice on one address': ['EADDRINUSE', 'both listen', async create => {
      const transport = create()
      const [address] = (await listen(transport)).getAddrs()

      return outcomeOf(listen(transport, address.toString()), 'both listen')
    }],
    'a peer half-closes while it is sent more than the kernel takes': ['it gets a part of it', 'it gets all of it', async create => {
      const { connection, peer } = await open(create())
      const bytes = await queueData(connection)
      peer.end()
      await delay(50)
      let received = 0

      for await (const data of peer) {
        received += data.byteLength
      }

      return received === bytes ? 'it gets all of it' : 'it gets a part of it'
    }],
    'a peer half-closes with `allowHalfOpen: true`': ['the connection closes', 'it stays open for writing', async create => {
      const { connection, peer } = await open(create({ dialOpts: { allowHalfOpen: true } }))
      peer.end()
      await delay(50)

      return connection.status === 'open' ? 'it stays open for writing' : 'the connection closes'
    }],
    'a peer takes nothing for longer than the inactivity timeout during `close()`': ['it loses the rest', 'it gets all of it, if that takes less than 5 s', async create => {
      const { connection, peer } = await open(create({ outboundSocketInactivityTimeout: 100 }))
      const bytes = await queueData(connection)
      connection.close().catch(() => {})
      await delay(500)
      let received = 0
      const closed = once(peer, 'close').catch(() => {})
      peer.on('data', data => { received += data.byteLength }).on('end', () => peer.end())
      peer.resume()
      await closed

      return received === bytes ? 'it gets all of it, if that takes less than 5 s' : 'it loses the rest'
    }],
    'a peer answers the FIN of `close()`': ['the answer is dropped', 'it is delivered; the peer has 1 s', async create => {
      const { connection, peer } = await open(create())
      let received = ''
      connection.addEventListener('message', ({ data }) => { received += new TextDecoder().decode(data.subarray()) })
      peer.resume().once('end', () => peer.end('goodbye'))
      await connection.close()
      await delay(50)

      return received === 'goodbye' ? 'it is delivered; the peer has 1 s' : 'the answer is dropped'
    }],
    'a connection closes while it is paused, with data that was not read': ['the data is dropped', '`resume()` delivers it, then `end` comes', async create => {
      const { connection, peer } = await open(create())
      const events: string[] = []
      connection.addEventListener('message', () => { events.push('data') })
      connection.addEventListener('end', () => { events.push('end') })
      connection.pause()
      peer.write('unread')
      await delay(50)
      peer.resume().once('end', () => peer.end())
      await connection.close()

      try {
        connection.resume()
      } catch (err: any) {
        expect(err).to.have.property('name', 'StreamStateError')
      }

      return events.join() === 'data,end' ? '`resume()` delivers it, then `end` comes' : `the data is ${events.includes('data') ? 'delivered without an end' : 'dropped'}`
    }],
    'a connection is lost during `close()`, with data queued': ['it never settles', 'it resolves, the close event tells', async create => {
      const { connection, peer } = await open(create())
      const closed = pDefer<Error | undefined>()
      connection.addEventListener('close', ({ error }) => { closed.resolve(error) })
      await queueData(connection)
      const closing = connection.close()
      peer.resetAndDestroy()
      expect(await closed.promise).to.be.an('error')

      return outcomeOf(closing, 'it resolves, the close event tells')
    }],
    'the signal of `close()` aborts, with data queued': ['it rejects with the reason', 'AbortError, and the connection is aborted', async create => {
      const { connection } = await open(create())
      const controller = new AbortController()
      await queueData(connection)
      setTimeout(() => { controller.abort('too late') }, 20)
      const outcome = await connection.close({ signal: controller.signal }).catch(err => err)

      if (outcome === 'too late' && connection.status === 'closing') {
        return 'it rejects with the reason'
      }

      return outcome.name === 'AbortError' && connection.status === 'aborted' ? 'AbortError, and the connection is aborted' : `${outcome}`
    }],
    'the signal of a dial aborted before it began': ['it rejects with the reason', 'AbortError', async create => {
      const outcome: any = await create().dial(multiaddr('/ip4/127.0.0.1/tcp/1'), { upgrader: rawUpgrader(), signal: AbortSignal.abort('too late') }).catch(err => err)

      return outcome === 'too late' ? 'it rejects with the reason' : outcome.name
    }],
    'the signal of a dial aborts in `onProgress`': ['the peer sees a connection', 'nothing is opened', async create => {
      const server = await serve()
      const controller = new AbortController()
      await create().dial(server.address, { upgrader: rawUpgrader(), signal: controller.signal, onProgress: () => { controller.abort() } }).catch(() => {})
      await delay(50)

      return server.sockets.length === 0 ? 'nothing is opened' : 'the peer sees a connection'
    }],
    'the signal of a dial aborts when that has succeeded': ['the connection is aborted', 'it stays open', async create => {
      const server = await serve()
      const controller = new AbortController()
      const connection = await create().dial(server.address, { upgrader: rawUpgrader(), signal: controller.signal }) as unknown as MultiaddrConnection
      controller.abort()
      await delay(50)
      const { status } = connection
      connection.abort(new Error('The test is over'))

      return status === 'open' ? 'it stays open' : 'the connection is aborted'
    }],
    'a dial is refused': ['`connection error …: connect ECONNREFUSED …`', '`connect ECONNREFUSED …`', async create => {
      const server = await startServer()
      await server.stop()
      const err: any = await create().dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`), { upgrader: rawUpgrader(), signal: AbortSignal.timeout(5_000) }).catch(err => err)
      expect(err.code).to.equal('ECONNREFUSED')

      return `\`${err.message.replaceAll(`127.0.0.1:${server.port}`, '…')}\``
    }],
    'port 0 is dialed': ['a system error', 'InvalidParametersError', async create => {
      const err: any = await create().dial(multiaddr('/ip4/127.0.0.1/tcp/0'), { upgrader: rawUpgrader(), signal: AbortSignal.timeout(5_000) }).catch(err => err)

      return err.code != null ? 'a system error' : err.name
    }],
    'an option has a value that can not be used': ['it is taken', 'InvalidParametersError', async create => {
      return outcomeOf(new Promise(resolve => { resolve(create({ backlog: 'many' as any })) }), 'it is taken')
    }],
    'an option does not exist': ['it is ignored, or handed on to `node:net`', 'InvalidParametersError', async create => {
      return outcomeOf(new Promise(resolve => { resolve(create({ reuseport: false } as any)) }), 'it is ignored, or handed on to `node:net`')
    }],
    'an IPv4-mapped IPv6 address is listened on': ['EINVAL', 'its IPv4 address is', async create => {
      const listening = listen(create(), '/ip6/::ffff:127.0.0.1/tcp/0')

      return outcomeOf(listening, 'its IPv4 address is')
    }],
    'connections are counted in the metrics': ['of the first listener', 'of all listeners', async create => {
      interface Group {
        values: Record<string, number>
        calculate?(): Record<string, number>
      }

      const groups: Record<string, Group> = {}
      const register = (name: string, { calculate }: Pick<Group, 'calculate'> = {}): object => {
        // as libp2p's metrics do: who comes first has it calculated
        const group = groups[name] ??= { values: {}, calculate }

        return {
          update: (values: object) => { Object.assign(group.values, values) },
          increment: (values: object) => { Object.assign(group.values, values) }
        }
      }
      const transport = create({}, { metrics: { registerMetricGroup: register, registerCounterGroup: register } })
      const listeners = [await listen(transport), await listen(transport)]

      for (const listener of listeners) {
        await transport.dial(listener.getAddrs()[0], { upgrader: rawUpgrader(), signal: AbortSignal.timeout(5_000) })
      }

      await delay(20)
      const { values, calculate } = groups.libp2p_tcp_inbound_connections_total
      const counted = Object.keys(calculate?.() ?? values).length

      return counted === 1 ? 'of the first listener' : 'of all listeners'
    }],
    'what it is called in logs': ['`libp2p:tcp`', '`libp2p:reuseport-tcp`', async create => {
      const names: string[] = []
      create({}, { logger: { forComponent: (name: string) => { names.push(name); return defaultLogger().forComponent(name) } } })

      return `\`${names[0]}\``
    }],
    'what `onProgress` is told of a dial': ['`tcp:open-connection`', '`tcp:open-connection`, `tcp:source-port`', async create => {
      const server = await serve()
      const types: string[] = []
      await create().dial(server.address, { upgrader: rawUpgrader(), signal: AbortSignal.timeout(5_000), onProgress: ({ type }: { type: string }) => { types.push(`\`${type}\``) } })

      return types.join(', ')
    }]
  }

  const CAN: Record<string, boolean> = {
    'both listen': HAS_SO_REUSEPORT,
    'from the listening port': REUSES_PORTS,
    'two, the second from an ephemeral port': REUSES_PORTS
  }

  Object.entries(ROWS).forEach(([what, [theirs, ours, attempt]]) => {
    where(CAN[ours] ?? true).it(what, async () => {
      expect(await attempt(TRANSPORTS.theirs)).to.equal(theirs)
      expect(await attempt(TRANSPORTS.ours)).to.equal(ours)
    })
  })

  it('are what the document says', () => {
    const rows = Object.entries(ROWS).map(([what, [theirs, ours]]) => `| ${what} | ${theirs} | ${ours} |`)

    expect(DOCUMENT).to.include(`|---|---|---|\n${rows.join('\n')}\n\n`)
  })
})
