import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { defaultLogger } from '@libp2p/logger'
import { prometheusMetrics } from '@libp2p/prometheus-metrics'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { TypedEventEmitter } from 'main-event'
import { Registry } from 'prom-client'
import { startBlackhole, startServer } from './fixtures/server.ts'
import { HAS_MORE_LOOPBACK, HAS_SO_REUSEPORT, HAS_UNIX_SOCKETS, REUSES_PORTS, where } from './fixtures/system.ts'
import { createTransport, rawUpgrader } from './kit/transport.ts'
import { until } from './kit/wait.ts'
import type { TestTransport } from './kit/transport.ts'
import type { Libp2pEvents } from '@libp2p/interface'

/** As Prometheus scrapes them */
describe('metrics', () => {
  const cleanup: Array<() => Promise<unknown>> = []
  let events: TypedEventEmitter<Libp2pEvents>
  let registry: Registry
  let local: TestTransport

  beforeEach(() => {
    events = new TypedEventEmitter()
    registry = new Registry()

    const logger = defaultLogger()
    const metrics = prometheusMetrics({ registry, collectDefaultMetrics: false })({ logger })
    local = createTransport({ reusePortTimeout: 500 }, { logger, metrics, events })
    cleanup.push(async () => local.stop())
  })

  afterEach(async () => {
    await Promise.all(cleanup.splice(0).map(async fn => fn()))
  })

  /** The values of one metric, by label */
  async function scrape (name: string): Promise<Record<string, number>> {
    const lines = (await registry.metrics()).split('\n').filter(line => line.startsWith(`${name}{`))

    return Object.fromEntries(lines.map(line => {
      const [, label, value] = /[=]"(.*)"} (\d+)$/.exec(line) ?? []

      return [label, Number(value)]
    }))
  }

  async function startServerOn (host: string): Promise<string> {
    const server = await startServer(host)
    cleanup.push(async () => server.stop())

    return `/ip${host.includes(':') ? 6 : 4}/${host}/tcp/${server.port}`
  }

  where(REUSES_PORTS && HAS_UNIX_SOCKETS).it('count dials by their source', async () => {
    const server = await startServerOn('127.0.0.1')
    await local.connect(server)
    expect(await scrape('libp2p_reuseport_tcp_dials_total')).to.deep.equal({ ephemeral_no_listener: 1 })

    await local.listen('/ip4/127.0.0.1/tcp/0')
    await local.connect(server)
    await local.connect(server)
    await local.connect(server, { reusePort: false })
    expect(await scrape('libp2p_reuseport_tcp_dials_total')).to.deep.equal({
      ephemeral_no_listener: 1,
      reused_loopback: 1,
      // that connection is there already
      ephemeral_unusable: 1,
      ephemeral_turned_off: 1
    })

    await local.listen('/ip6/::/tcp/0')
    await local.connect(await startServerOn('::1'))
    expect(await scrape('libp2p_reuseport_tcp_dials_total')).to.have.property('reused_wildcard', 1)

    const directory = await mkdtemp(path.join(os.tmpdir(), 'reuseport-'))
    const socket = path.join(directory, 'socket')
    const unix = net.createServer().listen(socket)
    await once(unix, 'listening')
    cleanup.push(async () => {
      unix.close()
      await rm(directory, { recursive: true })
    })
    await local.connect(`/unix/${encodeURIComponent(socket)}`)
    expect(await scrape('libp2p_reuseport_tcp_dials_total')).to.have.property('unix', 1)
  })

  where(REUSES_PORTS && HAS_MORE_LOOPBACK).it('show a listening port that peers do not answer', async () => {
    await local.listen('/ip4/127.0.0.1/tcp/0')

    for (const host of ['127.0.0.1', '127.0.0.2', '127.0.0.3']) {
      const blackhole = await startBlackhole(host)
      cleanup.push(async () => blackhole.stop())
      // when the reused dial's SYN has been lost
      blackhole.releaseAfterSyn()
      await local.connect(`/ip4/${host}/tcp/${blackhole.port}`)
    }

    await local.connect(await startServerOn('127.0.0.1'))

    expect(await scrape('libp2p_reuseport_tcp_dials_total')).to.deep.equal({ ephemeral_faster: 3, ephemeral_suspended: 1 })
    expect(await scrape('libp2p_reuseport_tcp_dialer_events_total')).to.deep.equal({ ephemeral_won: 3, endpoint_suspended: 1 })
    expect(await scrape('libp2p_reuseport_tcp_endpoints')).to.deep.equal({ listening: 1, suspended: 1, observed: 0 })
  })

  where(REUSES_PORTS).it('tell a dial that follows a simultaneous open', async () => {
    await local.listen('/ip4/127.0.0.1/tcp/0')
    let connections = 0
    const server = await startServer('127.0.0.1', 0, socket => {
      if (connections++ === 0) {
        // another proposal than ours: the peer is an initiator, too
        socket.write('\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n')
      }
    })
    cleanup.push(async () => server.stop())
    let upgrades = 0
    const upgrader = {
      ...rawUpgrader(async connection => {
        if (upgrades++ === 0) {
          await once(connection, 'message')
          throw new Error('no handshake')
        }

        connection.abort(new Error('seen'))
      }),
      getConnectionEncrypters: () => new Map([['/noise', {}]])
    } as any

    await local.transport.dial(multiaddr(`/ip4/127.0.0.1/tcp/${server.port}`), { upgrader, signal: AbortSignal.timeout(5_000) })
    expect(await scrape('libp2p_reuseport_tcp_dials_total')).to.deep.equal({ reused_loopback: 1, ephemeral_simultaneous_open: 1 })
    expect(await scrape('libp2p_reuseport_tcp_dialer_events_total')).to.deep.equal({ simultaneous_open: 1 })
  })

  where(REUSES_PORTS && HAS_MORE_LOOPBACK).it('show how many addresses peers observe', async () => {
    await local.listen('/ip4/127.0.0.1/tcp/0')

    for (const [host, port] of Object.entries({ '127.0.0.1': 5001, '127.0.0.2': 5002 })) {
      const { connection } = await local.connect(await startServerOn(host))
      events.safeDispatchEvent('peer:identify', {
        detail: { connection: { timeline: connection.timeline }, observedAddr: multiaddr(`/ip4/11.0.0.9/tcp/${port}`) } as any
      })
    }

    expect(await scrape('libp2p_reuseport_tcp_endpoints')).to.deep.equal({ listening: 1, suspended: 0, observed: 2 })
  })

  it('tell the connections of each listener', async () => {
    const peer = createTransport()
    cleanup.push(async () => peer.stop())
    const { port } = await local.listen('/ip4/127.0.0.1/tcp/0')
    const { port: port6 } = await local.listen('/ip6/::1/tcp/0')
    await expect(scrape('libp2p_tcp_inbound_connections_total')).to.eventually.deep.equal({ [`127.0.0.1:${port}`]: 0, [`::1:${port6}`]: 0 })

    const { connection } = await peer.connect(`/ip4/127.0.0.1/tcp/${port}`)
    await peer.connect(`/ip6/::1/tcp/${port6}`)
    await expect(scrape('libp2p_tcp_inbound_connections_total')).to.eventually.deep.equal({ [`127.0.0.1:${port}`]: 1, [`::1:${port6}`]: 1 })

    await connection.close()
    await until(async () => (await scrape('libp2p_tcp_inbound_connections_total'))[`127.0.0.1:${port}`] === 0)
    await expect(scrape('libp2p_tcp_inbound_connections_total')).to.eventually.deep.equal({ [`127.0.0.1:${port}`]: 0, [`::1:${port6}`]: 1 })
  })

  where(HAS_SO_REUSEPORT).it('count the connections of all listeners that have one address', async () => {
    const peer = createTransport()
    cleanup.push(async () => peer.stop())
    const { listener, port } = await local.listen('/ip4/127.0.0.1/tcp/0')
    await peer.connect(`/ip4/127.0.0.1/tcp/${port}`)
    await until(async () => (await scrape('libp2p_tcp_inbound_connections_total'))[`127.0.0.1:${port}`] === 1)

    await local.listen(`/ip4/127.0.0.1/tcp/${port}`)
    await expect(scrape('libp2p_tcp_inbound_connections_total')).to.eventually.deep.equal({ [`127.0.0.1:${port}`]: 1 })

    await listener.close()
    await expect(scrape('libp2p_tcp_inbound_connections_total')).to.eventually.deep.equal({ [`127.0.0.1:${port}`]: 0 })
  })
})
