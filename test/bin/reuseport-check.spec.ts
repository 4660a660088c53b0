import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { expect } from 'aegir/chai'
import { createLibp2p } from 'libp2p'
import { pEvent } from 'p-event'
import { closed, startServer } from '../fixtures/server.ts'
import type { TestServer } from '../fixtures/server.ts'
import type { Libp2p } from '@libp2p/interface'
import type { ChildProcessByStdio } from 'node:child_process'
import type { Readable } from 'node:stream'

const NODE = [process.execPath, '--experimental-strip-types', '--no-warnings']
const COMMAND = [...NODE, fileURLToPath(new URL('../../src/bin/reuseport-check.ts', import.meta.url))]

const hasIPv6 = Object.values(os.networkInterfaces()).flat().some(own => own?.address === '::1')

describe('reuseport-check', () => {
  const cleanup: Array<() => unknown> = []

  afterEach(async () => {
    await Promise.all(cleanup.splice(0).map(async fn => fn()))
  })

  interface Ended {
    code: number | null
    stdout: string
    stderr: string
  }

  function spawned ([command, ...args]: string[], env: Record<string, string> = {}): ChildProcessByStdio<null, Readable, Readable> {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, DEBUG: undefined, LIBP2P_TCP_REUSEPORT: undefined, ...env }
    })
    cleanup.push(() => child.kill('SIGKILL'))

    return child
  }

  async function end (child: ChildProcessByStdio<null, Readable, Readable>): Promise<Ended> {
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])

    return { code, stdout, stderr }
  }

  async function run (args: string[] = [], env?: Record<string, string>): Promise<Ended> {
    return end(spawned([...COMMAND, ...args], env))
  }

  async function startPeer (): Promise<Libp2p> {
    const peer = await createLibp2p({
      addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      services: { identify: identify(), ping: ping() }
    })
    cleanup.push(async () => peer.stop())

    return peer
  }

  async function startSilentServer (): Promise<TestServer> {
    const server = await startServer('127.0.0.1', 0, socket => { socket.resume().on('end', () => socket.end()) })
    cleanup.push(async () => server.stop())

    return server
  }

  async function closedPort (): Promise<number> {
    const server = await startServer()
    await server.stop()

    return server.port
  }

  function portIn (address: string): number {
    return Number(/\/tcp\/(\d+)/.exec(address)?.[1])
  }

  it('dials two peers of its own and says that the ports are reused', async () => {
    const { code, stdout, stderr } = await run()

    expect(stderr, 'a progress line in a pipe').to.equal('')
    expect(stdout).to.match(/^listening on port \d+ \(IPv4\)/)
    const port = /port (\d+) \(IPv4\)/.exec(stdout)?.[1]
    expect(stdout).to.match(new RegExp(`^/ip4/127.0.0.1/tcp/\\d+/p2p/…\\w{6} +${port} +yes +127.0.0.1:${port} +\\d+(\\.\\d)? ms +\\d+(\\.\\d)? ms$`, 'm'))

    if (hasIPv6) {
      const port6 = /port (\d+) \(IPv6\)/.exec(stdout)?.[1]
      expect(stdout).to.match(new RegExp(`^/ip6/::1/tcp/\\d+/p2p/…\\w{6} +${port6} +yes +\\[::1\\]:${port6} `, 'm'))
    }

    expect(stdout).to.include('Ports are reused: ')
    expect(stdout).to.include('Peers on this machine can not tell an external address')
    expect(code).to.equal(0)
  })

  it('tells machines what a given peer observed, and leaves no connection behind', async () => {
    const peer = await startPeer()
    const address = peer.getMultiaddrs()[0].toString()
    const port = await closedPort()
    const inbound = pEvent<'connection:open', CustomEvent>(peer as any, 'connection:open')
    const { code, stdout, stderr } = await run(['--json', '--port', `${port}`, address])
    const { remoteAddr, remotePeer } = (await inbound).detail

    expect(stderr).to.equal('')
    expect(code).to.equal(0)

    const result = JSON.parse(stdout)
    const { peers: [{ connectMs, latencyMs, ...answer }] } = result

    expect(portIn(remoteAddr.toString()), 'what the peer really saw').to.equal(port)
    expect(result).to.have.all.keys('peerId', 'listening', 'localPeers', 'peers', 'verdict')
    expect(result.peerId).to.equal(remotePeer.toString())
    expect(result.localPeers).to.be.false()
    expect(result.listening).to.deep.equal([`/ip4/0.0.0.0/tcp/${port}`, ...(hasIPv6 ? [`/ip6/::/tcp/${port}`] : [])])
    expect(result.peers).to.have.lengthOf(1)
    expect(answer).to.deep.equal({
      address,
      peerId: peer.peerId.toString(),
      reached: true,
      source: { address: `/ip4/127.0.0.1/tcp/${port}`, port, reused: true, reason: 'wildcard', because: null },
      observed: `/ip4/127.0.0.1/tcp/${port}`,
      error: null
    })
    expect(connectMs).to.be.greaterThan(0)
    expect(latencyMs).to.be.greaterThan(0).and.lessThan(1_000)
    expect(result.verdict).to.deep.include({ ok: true, portsReused: 'all', because: [], holePunching: 'unknown' })
    expect(result.verdict.endpoints[0]).to.deep.equal({
      listening: `/ip4/0.0.0.0/tcp/${port}`,
      addresses: [],
      behindNat: null,
      natMapping: 'unknown',
      holePunching: 'unknown'
    })

    if (peer.getConnections().length > 0) {
      await pEvent(peer as any, 'connection:close', { timeout: 1_000 })
    }
  })

  it('fails if one of the peers can not be reached, and says why', async () => {
    const peer = await startPeer()
    const refusing = `/ip4/127.0.0.1/tcp/${await closedPort()}`
    const { code, stdout } = await run([refusing, peer.getMultiaddrs()[0].toString()])

    expect(code).to.equal(1)
    expect(stdout).to.include(`ECONNREFUSED 127.0.0.1:${portIn(refusing)}`)
    expect(stdout).to.include('1 of 2 peers could not be reached.')
    expect(stdout).to.include('Ports are reused: ')
  })

  it('fails if the peer connects and says nothing, and says how far it came', async () => {
    const server = await startSilentServer()
    const { code, stdout } = await run(['--json', '--timeout', '0.5', `/ip4/127.0.0.1/tcp/${server.port}`])
    const { listening, peers: [{ error, reached, source }], verdict } = JSON.parse(stdout)

    expect(code).to.equal(1)
    expect(reached).to.be.false()
    expect(error).to.equal('connected, but there was no libp2p handshake: no answer within 0.5 s')
    expect(source.port).to.equal(portIn(listening[0]))
    expect(server.ports).to.deep.equal([source.port])
    expect(verdict).to.include({ ok: false, portsReused: 'all' })
  })

  it('fails if ports are not reused, and says why', async () => {
    const { code, stdout } = await run([], { LIBP2P_TCP_REUSEPORT: 'false' })

    expect(code).to.equal(1)
    expect(stdout).to.match(/127\.0\.0\.1:\d+ +.*\n {2}not from a listening port: port reuse is turned off$/m)
    expect(stdout).to.include('Ports are not reused: port reuse is turned off.')
    expect(stdout).to.include('LIBP2P_TCP_REUSEPORT is \'false\'')
  })

  it('fails if the port is taken', async () => {
    const { port } = await startSilentServer()

    expect(await run(['--port', `${port}`])).to.deep.equal({
      code: 1,
      stdout: '',
      stderr: `reuseport-check: Can not listen on port ${port} of 0.0.0.0: it is in use (EADDRINUSE)\n`
    })
  })

  it('prints help and its version', async () => {
    const { code, stdout, stderr } = await run(['--help'])
    expect(stdout).to.match(/^Usage: reuseport-check /)
    expect(stderr).to.equal('')
    expect(code).to.equal(0)

    const manifest = JSON.parse(fs.readFileSync(new URL('../../package.json', import.meta.url), 'utf-8'))
    expect(await run(['--version'])).to.deep.equal({ code: 0, stdout: `${manifest.version}\n`, stderr: '' })
  })

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    it(`stops the node on ${signal}, in the middle of a dial`, async () => {
      const server = await startSilentServer()
      const child = spawned([...COMMAND, '--json', `/ip4/127.0.0.1/tcp/${server.port}`])
      const ended = end(child)
      const socket = await server.socket(0)

      const start = Date.now()
      child.kill(signal)
      const { code, stdout, stderr } = await ended

      expect(code).to.equal(signal === 'SIGINT' ? 130 : 143)
      expect(Date.now() - start).to.be.lessThan(2_000)
      expect(JSON.parse(stdout)).to.deep.equal({ error: `Ended by ${signal}` })
      expect(stderr).to.equal('')
      await closed(socket)
    })
  }

  it('ends at once on a second Ctrl-C', async () => {
    const { href } = new URL('../../src/bin/interruption.ts', import.meta.url)
    const child = spawned([...NODE, '--input-type=module', '--eval', `
      import { interruption } from '${href}'
      const signal = interruption()
      signal.addEventListener('abort', () => { console.info('cleaning up') })
      setInterval(() => {}, 1_000)
      console.info('ready')
    `])
    const ended = once(child, 'exit')

    expect((await once(child.stdout, 'data')).toString()).to.equal('ready\n')
    child.kill('SIGINT')
    expect((await once(child.stdout, 'data')).toString()).to.equal('cleaning up\n')
    expect(child.exitCode).to.be.null()
    child.kill('SIGINT')
    expect(await ended).to.deep.equal([130, null])
  })

  it('does not mind if nobody reads on', async () => {
    const command = COMMAND.map(part => `'${part}'`).join(' ')
    const { stdout, stderr } = await end(spawned(['sh', '-c', `${command} | head -1`]))
    expect(stdout).to.match(/^listening on port \d+.*\n$/)
    expect(stderr).to.equal('')

    const child = spawned([...COMMAND, '--help'])
    child.stdout.destroy()
    expect(await Promise.all([text(child.stderr), once(child, 'exit')])).to.deep.equal(['', [0, null]])
  })

  it('says if its output could not be written', async () => {
    const command = COMMAND.map(part => `'${part}'`).join(' ')
    const { code, stderr } = await end(spawned(['sh', '-c', `${command} --help > /dev/full`]))

    expect(code).to.equal(1)
    expect(stderr).to.match(/^reuseport-check: .*ENOSPC.*\n$/)
  })

  it('does not run with wrong arguments', async () => {
    const { code, stdout, stderr } = await run(['--port', '65536'])
    expect(stderr).to.match(/^reuseport-check: --port .* '65536'\nTry 'reuseport-check --help'\n$/)
    expect(stdout).to.equal('')
    expect(code).to.equal(2)

    expect(await run(['--json', '/ip4/127.0.0.1/tcp/0'])).to.deep.equal({
      code: 2,
      stdout: '{\n  "error": "Can not dial port 0 of multiaddr /ip4/127.0.0.1/tcp/0"\n}\n',
      stderr: ''
    })
  })
})
