/**
 * What this package relies on, and no type of `@libp2p/dcutr` promises. A new version of it may
 * change that at any time. With the roles swapped, for example, no hole would be punched any more
 */

import { start } from '@libp2p/interface'
import { lpStream, streamPair } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import pDefer from 'p-defer'
import { untilAborted } from '../abort.ts'
import { wrapDcutr } from './libp2p-dcutr.ts'
import type { Procedure } from './libp2p-dcutr.ts'
import type { Connection, Logger, Stream, StreamHandler, Topology } from '@libp2p/interface'

/** The dry run needs a few ms. If it takes so many, an answer is missing */
const LIMIT_MS = 5_000

/** Any valid peer id */
const PEER = '12D3KooWJRSrypvnpHgc6ZAgyCni4KcSmbV7uGRaMw5LgMKT18fq'
const ANNOUNCED = multiaddr('/ip4/11.0.0.2/tcp/4001')
const EXCHANGED = multiaddr('/ip4/11.0.0.3/tcp/4001')
const CANDIDATE = multiaddr('/ip4/11.0.0.9/tcp/4001')

/** The messages of DCUtR (libp2p specs, `relay/DCUtR.md`) in protobuf's wire format */
const CONNECT = Uint8Array.from([0x08, 0x64, 0x12, EXCHANGED.bytes.byteLength, ...EXCHANGED.bytes])
const SYNC = Uint8Array.from([0x08, 0xac, 0x02])

/** The dry run is not for the log */
const LOG: Logger = Object.assign(() => {}, { enabled: false, error: () => {}, trace: () => {}, newScope: () => LOG })
const UNLOGGED = { outboundConnection: { log: LOG }, inboundConnection: { log: LOG } }

const COORDINATED = ['coordinate', `plain ${ANNOUNCED}/p2p/${PEER}`, 'candidates', `responder ${EXCHANGED}`, 'end']
const FOLLOWED = ['follow', 'candidates', `initiator ${EXCHANGED}`, 'end']

/**
 * Runs the installed `@libp2p/dcutr` once in each role, with a libp2p and a peer that are made up
 *
 * @returns what it does differently, or `undefined` if it does what is expected
 */
export async function findBreach (): Promise<string | undefined> {
  for (const [play, expected] of [[coordinate, COORDINATED], [follow, FOLLOWED]] as const) {
    const steps: string[] = []
    await untilAborted(play(steps), AbortSignal.timeout(LIMIT_MS)).catch(err => { steps.push(err.message) })

    if (steps.join() !== expected.join()) {
      return `its steps are [${steps.join(', ')}] instead of [${expected.join(', ')}]`
    }
  }
}

/** A peer has dialed this node over a relay */
async function coordinate (steps: string[]): Promise<void> {
  const { topology, ended } = await startService(steps)
  const [ours, theirs] = await streamPair(UNLOGGED)
  const peer = lpStream(theirs)

  const relayed = relayedConnection('inbound', ours)

  topology.onConnect?.(relayed.remotePeer, relayed)
  await peer.read()
  await peer.write(CONNECT)
  await peer.read()
  await ended
}

/** A peer coordinates, which this node has dialed over a relay */
async function follow (steps: string[]): Promise<void> {
  const { handler, ended } = await startService(steps)
  const [ours, theirs] = await streamPair(UNLOGGED)
  const peer = lpStream(theirs)

  await Promise.all([
    handler(ours, relayedConnection('outbound')),
    peer.write(CONNECT).then(async () => peer.read()).then(async () => peer.write(SYNC)),
    ended
  ])
}

interface Started {
  /** What `@libp2p/dcutr` has registered */
  topology: Topology
  handler: StreamHandler

  /** Resolves when it has done all that it does with a peer */
  ended: Promise<void>
}

async function startService (steps: string[]): Promise<Started> {
  const ended = pDefer<void>()
  const registered: Partial<Started> = {}
  const { signal } = new AbortController()
  const run = async (step: string, procedure: Procedure): Promise<void> => {
    steps.push(step)
    await procedure(signal)
    steps.push('end')
    ended.resolve()
  }

  // only what @libp2p/dcutr uses of libp2p
  const components: any = {
    logger: { forComponent: () => LOG },
    peerStore: { get: async () => ({ addresses: [{ multiaddr: ANNOUNCED }] }) },
    addressManager: {},
    connectionManager: {},
    transportManager: { dialTransportForMultiaddr: () => ({}) },
    registrar: {
      register: async (_: string, topology: Topology) => { registered.topology = topology },
      handle: async (_: string, handler: StreamHandler) => { registered.handler = handler }
    }
  }
  const service = wrapDcutr(components, { retries: 1 }, {
    candidates: () => {
      steps.push('candidates')

      return [CANDIDATE]
    },
    coordinate: async (_, procedure) => run('coordinate', procedure),
    follow: async (_, procedure) => run('follow', procedure),
    dialPlainly: (_, multiaddrs) => { steps.push(`plain ${multiaddrs.join()}`) },
    punch: async ({ role, relayed, multiaddrs, roundTrip }) => {
      steps.push(`${role} ${multiaddrs.join()}`)

      // it began in 1970 if the addresses were asked for at another moment
      if (roundTrip > LIMIT_MS) {
        steps.push('no round trip')
      }

      return relayed
    }
  })
  await start(service)

  return { ...registered as Started, ended: ended.promise }
}

function relayedConnection (direction: Connection['direction'], stream?: Stream): Connection {
  const connection: any = {
    remoteAddr: multiaddr(`/ip4/11.0.0.1/tcp/4001/p2p/${PEER}/p2p-circuit/p2p/${PEER}`),
    remotePeer: { toString: () => PEER },
    direction,
    newStream: async () => stream,
    close: async () => {}
  }

  return connection
}
