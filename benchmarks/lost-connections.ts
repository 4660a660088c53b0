/**
 * How many connections are lost when one of two workers of a cluster stops listening. The
 * workers share a port, and both are busy. The test runs in turn with `@libp2p/tcp`. A client
 * opens 1,000 connections per second, sends a byte on each, and counts those without an answer.
 *
 * `npx node benchmarks/lost-connections.ts` takes a minute
 */

import { fork } from 'node:child_process'
import cluster from 'node:cluster'
import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { defaultLogger } from '@libp2p/logger'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { reuseportTcp } from '../src/index.ts'
import { median } from '../test/kit/statistics.ts'
import { rawUpgrader } from '../test/kit/transport.ts'

const ROUNDS = 5
const HOST = '127.0.0.1'
const CLIENT_MS = 1_500
const STOP_AFTER_MS = 700
const PER_MS = 1

/** How long an upgrade keeps the processor busy, in ms */
const UPGRADE_MS = 0.5

type Whose = 'theirs' | 'ours'
type How = 'close' | 'disconnect'

const [role, argument] = process.argv.slice(2)

if (role === 'client') {
  await connect(Number(argument))
} else if (cluster.isWorker) {
  await listen(role as Whose, Number(argument))
} else {
  for (const how of ['close', 'disconnect'] as const) {
    const lost: Record<Whose, number[]> = { theirs: [], ours: [] }

    for (let round = 0; round < ROUNDS; round++) {
      lost.theirs.push(await play('theirs', how))
      lost.ours.push(await play('ours', how))
    }

    process.stdout.write(`${how}: ${Object.entries(lost).map(([whose, shares]) => `${whose} ${shares.map(inPercent).join(', ')}, median ${inPercent(median(shares))} %`).join('; ')}\n`)
  }

  process.exit()
}

function inPercent (share: number): string {
  return (100 * share).toFixed(2)
}

/** @returns the share of the connections that were lost */
async function play (whose: Whose, how: How): Promise<number> {
  const server = net.createServer().listen(0, HOST)
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  server.close()
  cluster.setupPrimary({ args: [whose, `${port}`] })
  const workers = [cluster.fork(), cluster.fork()]
  await Promise.all(workers.map(async worker => once(worker, 'listening')))

  const client = fork(import.meta.filename, ['client', `${port}`])
  const counted = once(client, 'message')
  await delay(STOP_AFTER_MS)

  if (how === 'disconnect') {
    workers[0].disconnect()
  } else {
    workers[0].send('close')
  }

  const [share] = await counted
  workers.forEach(worker => { worker.process.kill('SIGKILL') })

  return share
}

async function listen (whose: Whose, port: number): Promise<void> {
  const transport = (whose === 'theirs' ? tcp() : reuseportTcp())({ logger: defaultLogger() })
  const listener = transport.createListener({
    upgrader: rawUpgrader(connection => {
      const end = performance.now() + UPGRADE_MS

      while (performance.now() < end) {
        // busy
      }

      connection.addEventListener('message', ({ data }) => { connection.send(data) })
    })
  })

  process.once('message', () => { void listener.close() })
  await listener.listen(multiaddr(`/ip4/${HOST}/tcp/${port}`))
}

async function connect (port: number): Promise<void> {
  const start = performance.now()
  const lost = new Set<net.Socket>()
  let opened = 0

  for (let time = 0; time < CLIENT_MS; time = performance.now() - start) {
    for (; opened < time * PER_MS; opened++) {
      open(port, lost)
    }

    await delay(1)
  }

  await delay(1_000)
  process.send?.(lost.size / opened)
  process.disconnect()
}

/** Adds itself to `lost` until there is an answer */
function open (port: number, lost: Set<net.Socket>): void {
  const socket = net.connect(port, HOST, () => { socket.write('.') })
  lost.add(socket)
  socket.once('data', () => {
    lost.delete(socket)
    socket.end()
  })
  socket.on('error', () => {})
}
