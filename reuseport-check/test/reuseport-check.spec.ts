import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import { text } from 'node:stream/consumers'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { expect } from 'aegir/chai'
import { createLibp2p } from 'libp2p'
import { startSilentServer } from './server.ts'
import { HANDLES_SIGNALS, HAS_SHELL, HAS_SO_REUSEPORT, REUSES_PORTS, where } from './system.ts'
import type { SilentServer } from './server.ts'
import type { Libp2p } from '@libp2p/interface'
import type { ChildProcessByStdio } from 'node:child_process'
import type { Readable } from 'node:stream'

const ROOT = new URL('../../', import.meta.url)
const NODE = [process.execPath, '--experimental-strip-types', '--no-warnings']

/** What `npm start` runs */
const COMMAND = [...NODE, ...JSON.parse(fs.readFileSync(new URL('package.json', ROOT), 'utf-8')).scripts.start.split(' ').slice(1)]

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
      cwd: ROOT,
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

  async function silentServer (host?: string): Promise<SilentServer> {
    const server = await startSilentServer(host)
    cleanup.push(async () => server.stop())

    return server
  }

  async function closedPort (): Promise<number> {
    const server = await startSilentServer()
    await server.stop()

    return server.port
  }

  function portIn (address: string): number {
    return Number(/\/tcp\/(\d+)/.exec(address)?.[1])
  }

  where(REUSES_PORTS).it('dials two peers of its own and says that the ports are reused', async () => {
    const { code, stdout, stderr } = await run()

    expect(stderr, 'a progress line in a pipe').to.equal('')
    expect(stdout).to.match(/^reuseportTcp listens on port \d+ \(IPv4\)/)
    expect(stdout).to.match(/^Ports can be reused on this machine, by \S/m)
    const port = /port (\d+) \(IPv4\)/.exec(stdout)?.[1]
    const row = (peer: string, port: string | undefined, host: string): RegExp => new RegExp(`^\\| ${peer}/tcp/\\d+ +\\| ${port} +\\| yes +\\| ${host}:${port} +\\| \\d+(\\.\\d)? ms +\\| \\d+(\\.\\d)? ms +\\| ${host}:(?!${port})\\d+ +\\|$`, 'm')
    expect(stdout).to.match(row('/ip4/127.0.0.1', port, '127.0.0.1'))

    if (hasIPv6) {
      expect(stdout).to.match(row('/ip6/::1', /(\d+) \(IPv6\)/.exec(stdout)?.[1], '\\[::1\\]'))
    }

    expect(stdout).to.match(/With @libp2p\/tcp, (\d) of \1 peers? saw another port than the one that is listened on\./)
    expect(stdout).to.include('Ports are reused: ')
    expect(stdout).to.include('Peers on this machine can not tell an external address')
    expect(code).to.equal(0)
  })

  where(REUSES_PORTS).it('tells machines what a given peer observed, and leaves no connection behind', async () => {
    const peer = await startPeer()
    const address = peer.getMultiaddrs()[0].toString()
    const port = await closedPort()
    const inbound = once(peer as any, 'connection:open')
    const { code, stdout, stderr } = await run(['--json', '--port', `${port}`, address])
    const [{ detail: { remoteAddr, remotePeer } }] = await inbound

    expect(stderr).to.equal('')
    expect(code).to.equal(0)

    const result = JSON.parse(stdout)
    const { peers: [{ connectMs, latencyMs, libp2pTcp, ...answer }] } = result

    expect(portIn(remoteAddr.toString()), 'what the peer really saw').to.equal(port)
    expect(result).to.have.all.keys('peerId', 'listening', 'portReuse', 'libp2pTcpListening', 'localPeers', 'peers', 'inbound', 'verdict')
    expect(result.peerId).to.equal(remotePeer.toString())
    expect(result.localPeers).to.be.false()
    expect(result.listening).to.deep.equal([`/ip4/0.0.0.0/tcp/${port}`, ...(hasIPv6 ? [`/ip6/::/tcp/${port}`] : [])])
    expect(result.peers).to.have.lengthOf(1)
    expect(answer).to.deep.equal({
      address,
      peerId: peer.peerId.toString(),
      reached: true,
      source: { address: `/ip4/127.0.0.1/tcp/${port}`, port, kind: 'reused', rule: 'wildcard' },
      observed: `/ip4/127.0.0.1/tcp/${port}`,
      error: null
    })
    expect(libp2pTcp).to.include({ reached: true, peerId: peer.peerId.toString(), source: null, error: null })
    expect(libp2pTcp.observed).to.match(/^\/ip4\/127\.0\.0\.1\/tcp\/\d+$/)
    expect(portIn(libp2pTcp.observed)).to.not.be.oneOf([port, portIn(result.libp2pTcpListening[0])])
    expect(result.portReuse.available).to.equal(true)
    expect(result.portReuse.name).to.be.a('string')
    expect(result.inbound).to.deep.equal([{ address: `/ip4/127.0.0.1/tcp/${port}`, reached: true, error: null }])
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

    while (peer.getConnections().length > 0) {
      await once(peer as any, 'connection:close', { signal: AbortSignal.timeout(1_000) })
    }
  })

  where(HAS_SO_REUSEPORT).it('fails if the port accepts nothing at the address that a dial came from', async () => {
    const peer = await startPeer()
    peer.addEventListener('connection:open', ({ detail: { remoteAddr } }) => {
      const thief = net.createServer(socket => { socket.destroy() })
      // the connections to the address go to this server, as it listens on nothing else
      thief.listen({ host: '127.0.0.1', port: portIn(`${remoteAddr}`), reusePort: true })
      cleanup.push(() => thief.close())
    }, { once: true })
    const { code, stdout } = await run([peer.getMultiaddrs()[0].toString()])

    expect(code).to.equal(1)
    expect(stdout).to.include('Ports are reused: ').and.match(/^The port accepts no connections at \/ip4\/127\.0\.0\.1\/tcp\/\d+ while dials come from there: \w+/m)
  })

  it('--winsock: reuses ports by Winsock, or says why that is not possible here', async () => {
    const { stdout, stderr } = await run(['--winsock'])

    expect(stdout + stderr).to.match(/^Ports (can be|are not) reused on this machine.* SO_REUSEADDR|^reuseport-check: (winsock\(\) is for Windows|Winsock can not be called)/m)
  })

  where(REUSES_PORTS).it('fails if one of the peers can not be reached, and says why', async () => {
    const peer = await startPeer()
    const refusing = `/ip4/127.0.0.1/tcp/${await closedPort()}`
    const { code, stdout } = await run([refusing, peer.getMultiaddrs()[0].toString()])

    expect(code).to.equal(1)
    expect(stdout).to.include(`ECONNREFUSED 127.0.0.1:${portIn(refusing)}`)
    expect(stdout).to.include('1 of 2 peers could not be reached.')
    expect(stdout).to.include('Ports are reused: ')
  })

  where(REUSES_PORTS).it('fails if the peer connects and says nothing, and says how far it came', async () => {
    const server = await silentServer()
    const { code, stdout } = await run(['--json', '--timeout', '0.5', `/ip4/127.0.0.1/tcp/${server.port}`])
    const { listening, peers: [{ error, reached, source }], verdict } = JSON.parse(stdout)

    expect(code).to.equal(1)
    expect(reached).to.be.false()
    expect(error).to.equal('connected, but there was no libp2p handshake: no answer within 0.5 s')
    expect(source.port).to.equal(portIn(listening[0]))
    expect(server.ports[0]).to.equal(source.port)
    expect(server.ports[1], 'with @libp2p/tcp').to.not.equal(source.port)
    expect(verdict).to.include({ ok: false, portsReused: 'all' })
  })

  it('fails if another peer answers, and names it', async () => {
    const peer = await startPeer()
    const [address] = `${peer.getMultiaddrs()[0]}`.split('/p2p/')
    const { code, stdout } = await run([`${address}/p2p/12D3KooWJRSrypvnpHgc6ZAgyCni4KcSmbV7uGRaMw5LgMKT18fq`])

    expect(code).to.equal(1)
    expect(stdout).to.include(`${address}: another peer answers there: ${peer.peerId}\n`)
  })

  it('fails if ports are not reused, and says why', async () => {
    const { code, stdout } = await run([], { LIBP2P_TCP_REUSEPORT: 'false' })

    expect(code).to.equal(1)
    expect(stdout).to.match(/^\/ip4\/127\.0\.0\.1\/tcp\/\d+: not from a listening port: port reuse is turned off by LIBP2P_TCP_REUSEPORT$/m)
    expect(stdout).to.include('Ports are not reused on this machine: port reuse is turned off by LIBP2P_TCP_REUSEPORT')
    expect(stdout).to.include('Ports are not reused: port reuse is turned off by LIBP2P_TCP_REUSEPORT.')
    expect(stdout).to.include('LIBP2P_TCP_REUSEPORT is \'false\'')
  })

  it('fails if the port is taken', async () => {
    // macOS lets others listen on the wildcard beside an address
    const { port } = await silentServer('0.0.0.0')

    expect(await run(['--port', `${port}`])).to.deep.equal({
      code: 1,
      stdout: '',
      stderr: `reuseport-check: listen EADDRINUSE: address already in use 0.0.0.0:${port}\n`
    })
  })

  it('prints help and its version', async () => {
    const { code, stdout, stderr } = await run(['--help'])
    expect(stdout).to.match(/^Usage: reuseport-check /)
    expect(stderr).to.equal('')
    expect(code).to.equal(0)

    const manifest = JSON.parse(fs.readFileSync(new URL('../package.json', import.meta.url), 'utf-8'))
    expect(await run(['--version'])).to.deep.equal({ code: 0, stdout: `${manifest.version}\n`, stderr: '' })
  })

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    where(HANDLES_SIGNALS).it(`stops the node on ${signal}, in the middle of a dial`, async () => {
      const server = await silentServer()
      const child = spawned([...COMMAND, '--json', `/ip4/127.0.0.1/tcp/${server.port}`])
      const ended = end(child)
      const socket = await server.connected

      const start = Date.now()
      child.kill(signal)
      const { code, stdout, stderr } = await ended

      expect(code).to.equal(signal === 'SIGINT' ? 130 : 143)
      expect(Date.now() - start).to.be.lessThan(2_000)
      expect(JSON.parse(stdout)).to.deep.equal({ error: `Ended by ${signal}` })
      expect(stderr).to.equal('')
      socket.destroyed || await once(socket, 'close')
    })
  }

  where(HANDLES_SIGNALS).it('ends at once on a second Ctrl-C', async () => {
    const { href } = new URL('../src/interruption.ts', import.meta.url)
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

  where(HAS_SHELL).it('does not mind if nobody reads on', async () => {
    const command = COMMAND.map(part => `'${part}'`).join(' ')
    const { stdout, stderr } = await end(spawned(['sh', '-c', `${command} | head -1`]))
    expect(stdout).to.match(/^reuseportTcp listens on port \d+.*\n$/)
    expect(stderr).to.equal('')

    const child = spawned([...COMMAND, '--help'])
    child.stdout.destroy()
    expect(await Promise.all([text(child.stderr), once(child, 'exit')])).to.deep.equal(['', [0, null]])
  })

  where(HAS_SHELL).it('says if its output could not be written', async () => {
    const command = COMMAND.map(part => `'${part}'`).join(' ')
    const { code, stderr } = await end(spawned(['sh', '-c', `${command} --help > /dev/full`]))

    expect(code).to.equal(1)
    expect(stderr).to.match(/^reuseport-check: .*ENOSPC.*\n$/)
  })

  it('does not run with wrong arguments', async () => {
    const { code, stdout, stderr } = await run(['--port', '65536'])
    expect(stderr).to.match(/^reuseport-check: option '--port <number>' .*\nTry 'reuseport-check --help'\n$/)
    expect(stdout).to.equal('')
    expect(code).to.equal(2)

    expect(await run(['--json', '/ip4/127.0.0.1/tcp/0'])).to.deep.equal({
      code: 2,
      stdout: '{\n  "error": "command-argument value \'/ip4/127.0.0.1/tcp/0\' is invalid for argument \'multiaddr\'. Port 0 can not be dialed."\n}\n',
      stderr: ''
    })
  })
})
