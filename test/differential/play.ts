/** Plays one program with one transport, and writes down what can be seen of it */

import dns from 'node:dns'
import net from 'node:net'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import { AbortError } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import pDefer from 'p-defer'
import { Uint8ArrayList } from 'uint8arraylist'
import { rawUpgrader } from '../kit/transport.ts'
import { HTTP_BYTES } from './flow.ts'
import { applyNet, useUpDescriptors } from './nets.ts'
import { Peer, startPeerServer } from './peer.ts'
import { recordLogs, recordMetrics } from './recorders.ts'
import type { Flow } from './flow.ts'
import type { Program, Step, UpgraderKind } from './program.ts'
import type { ComponentLogger, Listener, Metrics, MultiaddrConnection, Transport, Upgrader } from '@libp2p/interface'
import type { AbstractMessageStream } from '@libp2p/utils'
import type { DeferredPromise } from 'p-defer'

/** What was seen, by what it was seen of */
export type Observation = Record<string, string>

export type CreateTransport = (init: any, components: { logger: ComponentLogger, metrics: Metrics }) => Transport<any>

/** When the signal of a dial aborts, in ms. Longer than a dial from a listening port that is not answered takes */
const DIAL_LIMIT_MS = 3_000

/** How long the program waits for what is still under way at its end. Longer than a dial, and than a resolver that is silent */
const END_LIMIT_MS = 4_500

/** What takes longer than this is `later`. A busy machine must not get that far */
const AT_ONCE_MS = 800

/** Nothing has happened in so many rounds of the event loop: nothing will, but for timers */
const QUIET_ROUNDS = 3
const ROUND_MS = 4

/** Ports of a program: two for listeners, a closed one, and one for the peer of each step */
const CLOSED = 2
const FIRST_PEER = 3
export const PORTS = 16

/** A raw connection of the transport, and what was seen of it */
interface Watched {
  readonly connection: MultiaddrConnection
  readonly events: string[]
}

/** What a step `dial` or `arrive` made */
interface Link {
  readonly step: number
  readonly peer: Peer

  /** Resolves when there is a connection, or will be none */
  readonly ready: DeferredPromise<void>
  watched?: Watched
}

interface Listening {
  readonly listener: Listener
  readonly step: number
  readonly events: string[]
  readonly accepted: MultiaddrConnection[]
}

export class Play {
  readonly #program: Program
  readonly #base: number
  readonly #logs = recordLogs()
  readonly #metrics = recordMetrics()
  readonly #transport: Transport<any>
  readonly #seen: Observation = {}
  readonly #pending: Array<Promise<void>> = []
  readonly #peers: Peer[] = []
  readonly #links: Link[] = []
  readonly #watched = new Map<string, Watched>()
  readonly #listeners: Listening[] = []
  readonly #servers: net.Server[] = []
  readonly #uncaught: string[] = []
  readonly #cleanUp: Array<() => Promise<void> | void> = []
  #freeDescriptors?: () => Promise<void>
  #step = 0
  #activity = 0

  constructor (create: CreateTransport, program: Program, base: number) {
    this.#program = program
    this.#base = base
    this.#transport = create(program.options ?? {}, { logger: this.#logs, metrics: this.#metrics.metrics })
  }

  /** @returns what was seen */
  async run (): Promise<Observation> {
    const { dnsResultOrder, noAutoSelectFamily = false, net: packetFilter, steps } = this.#program
    const resources = process.getActiveResourcesInfo()
    const onUncaught = (err: any): void => { this.#uncaught.push(`${err?.name}`) }
    const onWarning = ({ name }: Error): void => { this.#uncaught.push(name) }
    process.on('uncaughtException', onUncaught).on('unhandledRejection', onUncaught).on('warning', onWarning)
    dns.setDefaultResultOrder(dnsResultOrder ?? 'verbatim')
    net.setDefaultAutoSelectFamily(!noAutoSelectFamily)

    if (packetFilter != null) {
      this.#cleanUp.push(await applyNet(packetFilter, {
        listeners: `${this.#base}-${this.#base + 1}`,
        peers: `${this.#base + FIRST_PEER}-${this.#base + PORTS - 1}`
      }))
    }

    // all of them now: later there may be no descriptors
    for (const [i, step] of steps.entries()) {
      this.#peers[i] = new Peer('peer' in step ? step.peer : undefined, () => { this.#activity++ })

      if (step.do === 'dial' && step.port === 'peer') {
        this.#servers.push(await startPeerServer(this.#base + FIRST_PEER + i, this.#peers[i], step.hears))
      }
    }

    for (const [i, step] of steps.entries()) {
      this.#step = i
      await this.#take(step)
      await this.#quiet()
    }

    await this.#end()
    process.off('uncaughtException', onUncaught).off('unhandledRejection', onUncaught).off('warning', onWarning)
    this.#seen['process, uncaught'] = this.#uncaught.join(', ')
    this.#seen['process, kept alive by'] = await leftOver(resources)

    return this.#seen
  }

  async #take (step: Step): Promise<void> {
    switch (step.do) {
      case 'listen': return this.#listen(step)
      case 'dial': return this.#dial(step)
      case 'arrive': return this.#arrive(step)
      case 'wait': return delay(step.ms)
      case 'use up descriptors':
        this.#freeDescriptors ??= await useUpDescriptors(step.left)
        return
      case 'close listener': {
        const listening = this.#listeners[step.listener % this.#listeners.length]

        return listening == null ? undefined : this.#closeListener(listening, step.background)
      }
      default:
    }

    const link = this.#links[step.connection % this.#links.length]
    await Promise.race([link?.ready.promise, delay(END_LIMIT_MS, undefined, { ref: false })])
    const connection = link?.watched?.connection

    switch (step.do) {
      case 'peer sends': link?.peer.sends(step.bytes); break
      case 'peer ends': link?.peer.ends(); break
      case 'peer resets': link?.peer.resets(); break
      case 'peer reads': link?.peer.reads(); break
      case 'peer pauses': link?.peer.pauses(); break
      default:
        await (connection == null ? undefined : this.#use(step, link.peer.toPeer, connection))
    }
  }

  async #use (step: Step & { connection: number }, flow: Flow, connection: MultiaddrConnection): Promise<void> {
    switch (step.do) {
      case 'send': return this.#track(async () => { send(connection, flow, step) })
      case 'close': return this.#close(step, connection)
      case 'abort': return this.#track(async () => { connection.abort(new Error('The program says so')) })
      case 'pause': return this.#track(async () => { connection.pause() })
      case 'resume': return this.#track(async () => { connection.resume() })
      default:
    }
  }

  async #listen ({ on, port, background }: Step & { do: 'listen' }): Promise<void> {
    const accepted: MultiaddrConnection[] = []
    const step = this.#step
    const listener = this.#transport.createListener({
      upgrader: this.#upgrader(this.#program.upgrader, connection => {
        accepted.push(connection)
        this.#accepted(connection)
      })
    })
    const listening: Listening = { listener, step, events: [], accepted }
    const saw = (event: string): void => {
      this.#activity++
      listening.events.push(event)
    }

    this.#listeners.push(listening)
    listener.addEventListener('listening', () => { saw('listening') })
    listener.addEventListener('error', () => { saw('error') })
    listener.addEventListener('close', () => { saw(`close with connections ${statusesOf(accepted)}`) })

    await this.#track(async () => {
      await listener.listen(this.#address(on, this.#base + port))

      return 'listens'
    }, background)
  }

  async #dial ({ to, port, upgrader, abort, background }: Step & { do: 'dial' }): Promise<void> {
    const step = this.#step
    const peer = this.#peers[step]
    const link: Link = { step, peer, ready: pDefer() }
    const controller = new AbortController()
    const abortLater = (ms: number): NodeJS.Timeout => setTimeout(() => { controller.abort() }, ms)
    const progress: string[] = []
    const tcpPort = this.#base + (typeof port === 'number' ? port : { peer: FIRST_PEER + step, closed: CLOSED }[port])

    if (abort === 'before') {
      controller.abort()
    } else if (abort === 'later') {
      abortLater(100)
    }

    this.#links.push(link)
    await this.#track(async () => {
      const limit = abortLater(DIAL_LIMIT_MS)

      try {
        const connecting = this.#transport.dial(this.#address(to, tcpPort), {
          signal: controller.signal,
          upgrader: this.#upgrader(upgrader, connection => {
            link.watched = this.#watch(`${step} dialed`, connection)
            link.ready.resolve()
          }, peer.toPeer),
          onProgress: ({ type }: { type: string }) => {
            progress.push(type)

            if (abort === 'in onProgress') {
              controller.abort()
            }
          }
        })

        if (abort === 'same tick') {
          controller.abort()
        }

        await connecting

        return 'connected'
      } finally {
        clearTimeout(limit)
        link.ready.resolve()
        // tcp:source-port tells what only one of the transports has
        this.#seen[`${step} dial, progress`] = progress.filter(type => type !== 'tcp:source-port').join(', ')
      }
    }, background)
  }

  async #arrive ({ at, port }: Step & { do: 'arrive' }): Promise<void> {
    const peer = this.#peers[this.#step]
    const ready = pDefer<void>()
    this.#links.push({ step: this.#step, peer, ready })
    ready.resolve()

    const [{ value: host }] = this.#address(at, 1).getComponents()
    const socket = net.connect({ host, port: this.#base + port, allowHalfOpen: true })
    socket.once('error', () => {}).once('connect', () => { peer.connected(socket) })
    this.#cleanUp.push(() => { socket.destroy() })
    await this.#quiet()
  }

  #accepted (connection: MultiaddrConnection): void {
    const port = connection.remoteAddr.getComponents().find(({ name }) => name === 'tcp')?.value
    const arrived = this.#links.find(({ peer }) => `${peer.localPort}` === port)
    const watched = this.#watch(`${arrived?.step ?? this.#step} accepted`, connection)

    if (arrived != null) {
      arrived.watched = watched
    }
  }

  #watch (key: string, connection: MultiaddrConnection): Watched {
    const watched: Watched = { connection, events: [] }
    const saw = (event: string): void => {
      this.#activity++

      if (event !== watched.events.at(-1)) {
        watched.events.push(event)
      }
    }
    const link = this.#links.find(({ step }) => step === Number.parseInt(key, 10))

    connection.addEventListener('message', ({ data }) => {
      saw('message')
      link?.peer.toTransport.received(data.subarray())
    })
    connection.addEventListener('remoteCloseWrite', () => { saw('remoteCloseWrite') })
    connection.addEventListener('end' as 'idle', () => { saw('end') })
    connection.addEventListener('close', ({ error, local }) => { saw(`close ${local === true ? 'by this end' : ''} ${error == null ? '' : nameOf(error)}`) })
    connection.addEventListener('drain', () => { this.#activity++ })
    this.#watched.set(this.#watched.has(key) ? `${key} again` : key, watched)

    return watched
  }

  #upgrader (kind: UpgraderKind = 'raw', onConnection: (connection: MultiaddrConnection) => void, flow?: Flow): Upgrader {
    const upgrader = rawUpgrader(async (connection, { signal }) => {
      onConnection(connection)

      if (kind === 'raw') {
        return
      }

      const over = pDefer()
      connection.addEventListener('close', over.resolve)
      signal?.addEventListener('abort', over.resolve)

      if (kind === 'fails late') {
        connection.addEventListener('message', over.resolve)

        if (flow != null) {
          // as many bytes as an upgrade begins with
          connection.send(flow.next(HTTP_BYTES))
        }
      }

      if (kind !== 'fails' && connection.status === 'open' && signal?.aborted !== true) {
        await over.promise
      }

      throw signal?.aborted === true ? new AbortError() : new Error('The program says so')
    })

    return Object.assign(upgrader, { getConnectionEncrypters: () => new Map([['/noise', {}]]) })
  }

  async #close ({ signal, background }: Step & { do: 'close' }, connection: MultiaddrConnection): Promise<void> {
    const controller = new AbortController()

    if (signal === 'aborted') {
      controller.abort()
    }

    return this.#track(async () => {
      const closing = connection.close(signal == null ? {} : { signal: controller.signal })

      if (signal === 'aborts') {
        setTimeout(() => { controller.abort() }, 50)
      }

      await closing

      return `closed, then ${connection.status}`
    }, background)
  }

  async #closeListener ({ listener, accepted }: Listening, background?: boolean): Promise<void> {
    return this.#track(async () => {
      await listener.close()

      return `closed with connections ${statusesOf(accepted)}`
    }, background)
  }

  /** What was under way ends, then the transport, then its peers */
  async #end (): Promise<void> {
    this.#links.forEach(({ peer }) => { peer.reads() })
    await Promise.race([Promise.all(this.#pending), delay(END_LIMIT_MS, undefined, { ref: false })])
    await this.#quiet()
    this.#seeConnections()

    for (const [component, lines] of Object.entries(this.#logs.errors)) {
      this.#seen[`errors logged by ${component}`] = `${lines}`
    }

    for (const [name, value] of Object.entries(this.#metrics.values())) {
      this.#seen[`metric ${this.#ports(name)}`] = `${value}`
    }

    await this.#freeDescriptors?.()

    for (const listening of this.#listeners) {
      this.#step = 100 + listening.step
      this.#seen[`${listening.step} listener, addresses`] = this.#ports(listening.listener.getAddrs().join(' '))
      await this.#closeListener(listening)
      await this.#quiet()
      this.#seen[`${listening.step} listener, events`] = listening.events.join(', ')
    }

    this.#watched.forEach(({ connection }) => { connection.abort(new Error('The program is over')) })
    await this.#quiet()

    for (const { step, peer } of this.#links) {
      this.#seen[`${step} peer, events and those of the end`] = peer.events.join(', ')
    }

    this.#links.forEach(({ peer }) => { peer.leaves() })
    this.#servers.forEach(server => server.close())
    await Promise.all(this.#cleanUp.map(async fn => fn()))
  }

  #seeConnections (): void {
    for (const [key, { connection, events }] of this.#watched) {
      const { status, readStatus, writeStatus } = connection as unknown as AbstractMessageStream
      this.#seen[`${key}, status`] = `${status}, read ${readStatus}, write ${writeStatus}`
      this.#seen[`${key}, events`] = events.join(', ')
      this.#seen[`${key}, remote address`] = connection.remoteAddr.toString().replace(/\/tcp\/\d+/, '')
      this.#seen[`${key}, direction`] = connection.direction
    }

    for (const { step, peer } of this.#links) {
      this.#seen[`${step} peer, events`] = peer.events.join(', ')
      this.#seen[`${step} peer, received`] = peer.toPeer.toString()
      this.#seen[`${step} peer, was heard`] = peer.toTransport.toString()
    }
  }

  /** Runs what a step does and waits for it, unless in the background, and sees how it ends */
  async #track (run: () => Promise<unknown>, background = false): Promise<void> {
    const key = `${this.#step} ${this.#program.steps[this.#step % 100].do}`
    const start = performance.now()
    this.#seen[key] = 'never ends'

    const running = run().then(result => `${result ?? 'done'}`, nameOf).then(outcome => {
      this.#activity++
      this.#seen[key] = outcome
      this.#seen[`${key}, when`] = performance.now() - start < AT_ONCE_MS ? 'at once' : 'later'
    })

    this.#pending.push(running)
    await Promise.race([running, background ? undefined : delay(END_LIMIT_MS, undefined, { ref: false })])
  }

  async #quiet (): Promise<void> {
    for (let rounds = 0; rounds < QUIET_ROUNDS; rounds++) {
      const before = this.#activity
      await delay(ROUND_MS)
      await turn()

      if (this.#activity !== before) {
        rounds = -1
      }
    }
  }

  #address (host: string, port: number): ReturnType<typeof multiaddr> {
    return multiaddr(`${host}/tcp/${port}`)
  }

  #ports (text: string): string {
    return text.replaceAll(`${this.#base}`, 'PORT0').replaceAll(`${this.#base + 1}`, 'PORT1')
  }
}

function send (connection: MultiaddrConnection, flow: Flow, { bytes, as }: Step & { do: 'send' }): void {
  const buffer = new Uint8Array(bytes)

  for (let i = 0; i < (as === 'reused buffer' ? 8 : 1); i++) {
    buffer.set(flow.next(bytes))

    try {
      connection.send(as === 'list' ? new Uint8ArrayList(buffer.subarray(0, 2), buffer.subarray(2)) : buffer)
    } catch (err) {
      flow.takeBack(bytes)
      throw err
    }

    if (as === 'reused buffer') {
      buffer.fill(0)
    }
  }
}

function statusesOf (connections: MultiaddrConnection[]): string {
  return connections.map(({ status }) => status).join(' ')
}

/** An error's name, and the system's code */
function nameOf (err: any): string {
  return !(err instanceof Error) ? `rejects with a ${err?.constructor.name}` : [err.name, err.name === 'AbortError' || !('code' in err) ? undefined : err.code].filter(part => part != null).join(' ')
}

/** What keeps the process alive that did not before */
async function leftOver (before: string[]): Promise<string> {
  const end = performance.now() + END_LIMIT_MS

  while (true) {
    const rest = process.getActiveResourcesInfo()

    for (const resource of before) {
      if (rest.includes(resource)) {
        rest.splice(rest.indexOf(resource), 1)
      }
    }

    if (rest.length === 0 || performance.now() > end) {
      return [...new Set(rest)].sort().join(', ')
    }

    await delay(20)
  }
}
