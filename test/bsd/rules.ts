/**
 * Tries rules for local ports on real sockets, and prints as JSON what came of each
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { startServer } from '../fixtures/server.ts'
import type { BoundSocket, Socket } from 'node:net'

export interface Rule {
  rule: string

  /**
   * What it comes to under the rules of xnu, of Linux, and in this process: `works`, or
   * the code of the error
   */
  xnu: string
  linux: string
  seen: string
}

const WORKS = 'works'
const IN_USE = 'EADDRINUSE'
const HOST = '127.0.0.1'
const ANY = '0.0.0.0'

/**
 * Run in another process: listens on one port, is bound to another, and tells both
 */
const OTHER_PROCESS = `
  const net = require('node:net')
  const [first, second] = [0, 0].map(port => new net.BoundSocket({ host: '${HOST}', port }))
  process.send([first.address().port, second.address().port])
  net.createServer().listen(first)
  process.on('disconnect', () => { second.close(); process.exit() })
`

const other = spawn(process.execPath, ['--eval', OTHER_PROCESS], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
const [[listeningElsewhere, boundElsewhere]] = await once(other, 'message')
const peers = await Promise.all([1, 2, 3].map(async () => startServer(HOST)))
let open: Array<{ close(): unknown }> = []

/**
 * The last socket of each attempt is the one that the rule is about
 */
const ATTEMPTS: Array<[rule: string, xnu: string, linux: string, attempt: () => unknown]> = [
  ['SO_REUSEPORT', 'ENOTSUP', WORKS, () => bind(HOST, 0, { reusePort: true })],
  ['two listen on port 0', WORKS, WORKS, () => { listen(HOST); listen(HOST) }],
  ['bind, where one listens', IN_USE, IN_USE, () => bind(HOST, listen(HOST))],
  ['bind, where one is bound', IN_USE, WORKS, () => bind(HOST, bind(HOST))],
  ['bind, where another process listens', IN_USE, IN_USE, () => bind(HOST, listeningElsewhere)],
  ['bind, where another process is bound', IN_USE, WORKS, () => bind(HOST, boundElsewhere)],
  ['bind to 0.0.0.0, where another process listens on 127.0.0.1', WORKS, IN_USE, () => bind(ANY, listeningElsewhere)],
  ['bind to 127.0.0.1, where one listens on 0.0.0.0', WORKS, IN_USE, () => bind(HOST, listen(ANY))],
  ['bind to 0.0.0.0, where one listens on 127.0.0.1', WORKS, IN_USE, () => bind(ANY, listen(HOST))],
  ['listen on 127.0.0.1, where one listens on 0.0.0.0', WORKS, IN_USE, () => listen(HOST, listen(ANY))],
  ['bind to 127.0.0.1, where both are listened on', IN_USE, IN_USE, () => bind(HOST, listenOnBoth())],
  ['bind to 0.0.0.0, where both are listened on', IN_USE, IN_USE, () => bind(ANY, listenOnBoth())],
  ['bind to ::1, where one listens on ::', WORKS, IN_USE, () => bind('::1', listen('::'))],
  ['bind to ::, where one listens on ::1', WORKS, IN_USE, () => bind('::', listen('::1'))],
  ['bind to ::, where one listens on ::', IN_USE, IN_USE, () => bind('::', listen('::'))],
  ['bind to 0.0.0.0, where one listens on ::', WORKS, WORKS, () => bind(ANY, listen('::'))],
  ['bind to 0.0.0.0, where one listens on :: for both', IN_USE, IN_USE, () => bind(ANY, listen('::', 0, { ipv6Only: false }))],
  ['bind to :: for both, where one listens on 0.0.0.0', WORKS, IN_USE, () => bind('::', listen(ANY), { ipv6Only: false })],
  ['three dials from 127.0.0.1, where one listens on 0.0.0.0', WORKS, IN_USE, async () => dialAll(HOST, listen(ANY))],
  ['three dials from 0.0.0.0, where one listens on 127.0.0.1', WORKS, IN_USE, async () => dialAll(ANY, listen(HOST))],
  ['a second connection with the same ends', IN_USE, 'EADDRNOTAVAIL', async () => dialTwice(HOST)],
  ['a second connection with the same ends, from 0.0.0.0', IN_USE, 'EADDRNOTAVAIL', async () => dialTwice(ANY)],
  ['a connection with ends that are in TIME_WAIT', IN_USE, WORKS, async () => dialAgain()]
]

const rules: Rule[] = []

for (const [rule, xnu, linux, attempt] of ATTEMPTS) {
  const seen = await Promise.resolve().then(attempt).then(() => WORKS, err => err.code ?? err.message)
  rules.push({ rule, xnu, linux, seen })
  open.forEach(socket => socket.close())
  open = []
}

process.stdout.write(JSON.stringify(rules))
await Promise.all(peers.map(async peer => peer.stop()))
other.disconnect()

function bind (host: string, port: number = 0, options: object = {}, own: (bound: BoundSocket) => { close(): unknown } = bound => bound): number {
  const bound = new net.BoundSocket({ host, port, ipv6Only: net.isIPv6(host), ...options })
  const { port: actual } = bound.address()
  open.push(own(bound))

  return actual
}

function listen (host: string, port?: number, options?: object): number {
  return bind(host, port, options, bound => net.createServer().listen(bound))
}

function listenOnBoth (): number {
  return listen(HOST, listen(ANY))
}

async function dial (localAddress: string, localPort: number | undefined, peer: number): Promise<Socket> {
  const socket = net.connect({ host: HOST, port: peers[peer].port, localAddress, localPort })
  open.push({ close: () => socket.resetAndDestroy() })
  await once(socket, 'connect')

  return socket
}

/**
 * In one tick. The peers see where they come from, and the listener accepts after that
 */
async function dialAll (localAddress: string, port: number): Promise<void> {
  const accepted = peers.map(({ sockets, socket }) => socket(sockets.length))
  await Promise.all(peers.map(async (peer, i) => dial(localAddress, port, i)))
  const seen = (await Promise.all(accepted)).map(({ remotePort }) => remotePort)

  if (seen.some(each => each !== port)) {
    throw new Error(`the peers saw ${seen.join()}, not ${port}`)
  }

  const client = net.connect(port, HOST)
  open.push({ close: () => client.destroy() })
  await once(client, 'connect')
}

async function dialTwice (localAddress: string): Promise<void> {
  const { localPort } = await dial(HOST, 0, 0)
  await dial(localAddress, localPort, 0)
}

async function dialAgain (): Promise<void> {
  const socket = await dial(HOST, 0, 0)
  const { localPort } = socket
  const closed = once(socket, 'close')
  socket.resume().end()
  await closed
  await dial(HOST, localPort, 0)
}
