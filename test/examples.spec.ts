import { exec } from 'node:child_process'
import fs from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'aegir/chai'
import { runInNamespace } from './fixtures/namespace.ts'
import { REUSES_PORTS_BY_DEFAULT, where } from './fixtures/system.ts'

const ROOT = path.join(import.meta.dirname, '..')
const EXAMPLES = path.join(ROOT, 'examples')

/** How long one may take, in ms */
const TIMEOUT = 15_000

/** It has three ends, so a fixture runs it */
const HOLE_PUNCHING = 'hole-punching.ts'

describe('examples', () => {
  const outputs = new Map<string, Promise<string>>()

  before(async () => {
    const files = await names()

    // at the same time: most of them wait for a timer of libp2p before they end
    files.filter(name => name !== HOLE_PUNCHING).forEach(name => outputs.set(name, run(name)))

    // a failure belongs to the example's own test
    await Promise.allSettled(outputs.values())
  })

  /**
   * What an example printed
   *
   * @throws {Error} if there is none of this name, or its exit code was not 0
   */
  async function outputOf (name: string): Promise<string> {
    expect([...outputs.keys()]).to.include(name)

    return `${await outputs.get(name)}`
  }

  /** Runs the command that an example's header says */
  async function run (name: string): Promise<string> {
    const [, command] = / \* - `(.*)`\n/.exec(await read(name)) ?? []
    expect(command).to.match(new RegExp(`\\bnode examples/${name}"?$`))

    const env = { ...process.env, PATH: `${path.dirname(process.execPath)}${path.delimiter}${process.env.PATH}` }
    const { stdout } = await promisify(exec)(command, { cwd: ROOT, timeout: TIMEOUT, env })

    return stdout
  }

  async function read (name: string): Promise<string> {
    return fs.readFile(path.join(EXAMPLES, name), 'utf-8')
  }

  async function names (): Promise<string[]> {
    return (await fs.readdir(EXAMPLES)).filter(name => name.endsWith('.ts'))
  }

  /** The TCP ports of the addresses in the line that begins with this */
  function portsIn (output: string, start: string): number[] {
    const line = output.split('\n').find(line => line.startsWith(start))

    return [...(line ?? '').matchAll(/\/tcp\/(\d+)/g)].map(([, port]) => Number(port))
  }

  where(REUSES_PORTS_BY_DEFAULT).it('minimal.ts: the peer sees the port that the node listens on', async () => {
    const output = await outputOf('minimal.ts')
    const [port] = portsIn(output, 'listening on')

    expect(port).to.be.greaterThan(0)
    expect(portsIn(output, 'dialed from')).to.deep.equal([port])
    expect(portsIn(output, 'the peer saw')).to.deep.equal([port])
  })

  where(REUSES_PORTS_BY_DEFAULT).it('ephemeral-port.ts: the peer sees another port for the dial without port reuse', async () => {
    const output = await outputOf('ephemeral-port.ts')
    const [port] = portsIn(output, 'listening on')
    const [ephemeral] = portsIn(output, 'reusePort: false')

    expect(port).to.be.greaterThan(0)
    expect(portsIn(output, 'reusePort: true')).to.deep.equal([port])
    expect(ephemeral).to.be.greaterThan(0).and.not.equal(port)
  })

  it('duplex.ts: gets back what the server made of its bytes', async () => {
    const received = [...(await outputOf('duplex.ts')).matchAll(/^(\d+) bytes: (.*)$/gm)]

    // TCP has no messages, it may be in one piece or in several
    expect(received.map(([, , text]) => text).join('')).to.equal('HELLO THERE')
    expect(received.reduce((sum, [, bytes]) => sum + Number(bytes), 0)).to.equal(11)
  })

  where(REUSES_PORTS_BY_DEFAULT).it('metrics.ts: Prometheus sees the connections that were dialed and accepted', async () => {
    const lines = (await outputOf('metrics.ts')).split('\n')

    expect(lines).to.include('libp2p_tcp_dialer_events_total{event="connect"} 2')
    // the second one could not come from the listening port as well
    expect(lines).to.include('libp2p_reuseport_tcp_dials_total{source="reused_loopback"} 1')
    expect(lines.filter(line => /^libp2p_tcp_inbound_connections_total\{address="127\.0\.0\.1:\d+"\} 1$/.test(line))).to.have.lengthOf(1)
  })

  it(`${HOLE_PUNCHING}: a relayed connection becomes a direct one between the listening ports`, async function () {
    const { a, b } = await runInNamespace(this, 'ip address add 11.0.0.1 dev lo', 'hole-punching-example.ts')
    const [portOfA, portOfB] = [a, b].map(lines => portsIn(lines.join('\n'), 'listens on'))

    expect(portOfA).to.have.lengthOf(1).and.not.deep.equal(portOfB)
    // a plain dial would come from an ephemeral port
    expect(portsIn(a.join('\n'), 'hole punch succeeded: /ip4/11.0.0.1/')).to.deep.equal(portOfB)
    expect(portsIn(b.join('\n'), 'hole punch succeeded: /ip4/11.0.0.1/')).to.deep.equal(portOfA)
  })

  it(`${HOLE_PUNCHING} is the program in docs/hole-punching.md`, async () => {
    const document = await fs.readFile(path.join(ROOT, 'docs/hole-punching.md'), 'utf-8')
    const program = (await read(HOLE_PUNCHING))
      .replace(/^\/\*\*.*?\*\/\n\n/s, '')
      .replaceAll(/^\/\/ outside of this repository: from ('.*')\n(import .* from) .*$/gm, '$2 $1')

    expect(document).to.include(`\`\`\`TypeScript\n${program}\`\`\``)
  })

  it('are short', async () => {
    for (const name of await names()) {
      const code = (await read(name))
        .replaceAll(/\/\*.*?\*\//gs, '')
        .split('\n')
        .filter(line => line.trim() !== '' && !line.trim().startsWith('//'))

      expect(code.length, `${name}: lines of code`).to.be.greaterThan(0).and.lessThan(40)
    }
  })

  it('are all in the list, and tested here', async () => {
    const list = await read('README.md')
    const tests = await fs.readFile(import.meta.filename, 'utf-8')

    for (const name of await names()) {
      expect(list).to.include(`node examples/${name}`)
      expect(tests).to.include(name === HOLE_PUNCHING ? 'hole-punching-example.ts' : `outputOf('${name}')`)
    }
  })
})
