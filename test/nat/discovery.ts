import { setTimeout as delay } from 'node:timers/promises'
import { markdownTable } from 'markdown-table'
import pMap from 'p-map'
import { startPeer } from '../interop/peer.ts'
import { inMs, print } from '../kit/print.ts'
import { until } from '../kit/wait.ts'
import { createLab } from '../lab/lab.ts'
import { idOf, meet, stateOf } from './punch.ts'
import type { PublicPeer } from './public-peer.ts'
import type { Implementation } from '../interop/implementations.ts'
import type { Peer } from '../interop/peer.ts'
import type { Script } from '../kit/processes.ts'
import type { Lab } from '../lab/lab.ts'
import type { NatKind } from '../lab/nat-rules.ts'

/** One way, in ms */
const LATENCY = 20

/** The NAT of a node, and the AutoNAT that it uses */
type Setting = [kind: NatKind, autonat: 'v2' | 'v1' | 'none']

/**
 * What a forwarded port makes of a symmetric NAT: everybody can dial it, at an address that
 * nobody observes
 */
export const FORWARDED: Setting[] = [['symmetric', 'v2'], ['forwarded', 'v2']]

export const SETTINGS: Setting[] = [
  ['full-cone', 'v2'],
  ['full-cone', 'v1'],
  ['full-cone', 'none'],
  ['port-restricted', 'v2'],
  ['port-restricted', 'v1'],
  ['port-restricted', 'none'],
  ['symmetric', 'v1'],
  ['symmetric', 'none']
]

/** Later the router of machine N gets the address 11.0.0.(N + this number) */
const MOVED = 100

/** How many peers must have told where they see the node, before it believes them */
const OBSERVERS = 4

/** How many public peers the node dials. The fourth is the last that it takes */
const FEW = OBSERVERS + 1
const MANY = 8

/**
 * js-libp2p's AutoNAT counts what is in the same /8 as one network, so each public
 * peer is in one of its own: 12.0.0.1, 13.0.0.1 and so on
 */
const FIRST_NETWORK = 12

/** What the first machine behind a NAT is called in its address */
const FIRST_MACHINE = 11

const PORT = 4001

/**
 * How long the node may take to announce its public address, in ms, and so how long
 * it is watched where it must not announce one
 */
const TIMEOUT = 10_000

/**
 * How long its connections are watched after that, in ms: AutoNAT may still be at
 * work
 */
const REST = 2_000

/** How many nodes learn their address at the same time */
const CONCURRENCY = 6

const COLUMNS = ['NAT', 'AutoNAT', 'peers', 'expected', 'announced', 'after', 'a stranger: expected', 'connects', 'connections left', 'address changed: expected', 'announced']

/** What is expected, and what was found */
interface Found {
  /** The public addresses that were announced */
  announced: string[]

  /** Could a peer that the node has never dialed open a connection to it? */
  isReachable: boolean

  /** How many of those that the node has opened are still open */
  connections: number

  /**
   * The public addresses that were announced after the address of the NAT had changed, if that
   * was tried
   */
  announcedThen?: string[]
}

interface Row {
  setting: Setting
  peers: number
  expected: Found
  found?: Found

  /** How long it took since four peers had told where they see the node, in ms */
  after?: number
  wrong: string[]
}

/**
 * A node behind a NAT dials public peers, which tell it where they see it, and
 * AutoNAT asks them whether it can be dialed there. Returns what is wrong. The rows of other
 * transports can't fail
 */
export async function testDiscovery (implementation: Implementation, settings: Setting[]): Promise<string[]> {
  const lab = createLab({ latency: LATENCY, isWholeInternet: true })
  const rows = settings.flatMap(setting => [FEW, MANY].map(peers => ({ setting, peers })))
    .map(({ setting, peers }, i): Row => ({ setting, peers, expected: expectedOf(setting, peers, FIRST_MACHINE + i), wrong: [] }))

  try {
    const [stranger, ...publicPeers] = await startPublicPeers(lab, MANY + 1)
    const addresses = await Promise.all(publicPeers.map(async peer => peer.ask('address')))

    await pMap(rows, async (row, i) => {
      try {
        await discover(lab, implementation, FIRST_MACHINE + i, row, addresses.slice(0, row.peers), stranger)
        row.wrong.push(...whatIsWrong(row.expected, row.found))
      } catch (err: any) {
        row.wrong.push(err.message)
      }
    }, { concurrency: CONCURRENCY })
  } finally {
    await lab.stop()
  }

  print(markdownTable([COLUMNS, ...rows.map(cells)]), '')
  const failures = rows.flatMap(({ setting: [kind, autonat], peers, wrong }) => wrong.map(what => `Failed with ${kind}, AutoNAT ${autonat}, ${peers} peers: ${what}`))

  return implementation === 'js' ? failures : []
}

/** Each in a machine of its own */
async function startPublicPeers (lab: Lab, count: number): Promise<Array<Script<PublicPeer>>> {
  return Promise.all(Array.from({ length: count }, async (_, i) => {
    const address = `${FIRST_NETWORK + i}.0.0.1`
    const machine = await lab.host(`${address}/8`)

    return machine.start<PublicPeer>(new URL('./public-peer.ts', import.meta.url), `/ip4/${address}/tcp/${PORT}`)
  }))
}

async function discover (lab: Lab, implementation: Implementation, n: number, row: Row, addresses: string[], stranger: Script<PublicPeer>): Promise<void> {
  const { setting: [kind, autonat], expected } = row
  const machine = await lab.hostBehind(kind, n)
  const node = await startPeer({ implementation, machine, host: `11.0.0.${n}`, port: PORT, flags: ['--autonat', autonat] })

  try {
    let observedAt = NaN

    for (const [i, address] of addresses.entries()) {
      await meet(node, address)
      observedAt = i + 1 === OBSERVERS ? Date.now() : observedAt
    }

    const announced = await whatIsAnnounced(node, addressOf(n))
    row.after = announced.length === 0 ? undefined : Date.now() - observedAt
    row.found = { announced, isReachable: await stranger.ask('canDial', `${addressOf(n)}/p2p/${node.id}`), connections: 0 }
    await delay(REST)
    row.found.connections = addresses.filter(address => openTo(node, idOf(address)) > 0).length

    if (expected.announcedThen != null) {
      await lab.roam(machine).renumber(n + MOVED)

      for (const address of addresses) {
        // as libp2p does when nobody answers its pings any more
        await node.ask('abort', idOf(address))
      }

      for (const address of addresses) {
        await meet(node, address)
      }

      row.found.announcedThen = await whatIsAnnounced(node, addressOf(n + MOVED))
    }
  } finally {
    await node.stop()
  }
}

/** As soon as it is this address, or after the time that this may take */
async function whatIsAnnounced (node: Peer, expected: string): Promise<string[]> {
  const announced = async (): Promise<string[]> => (await stateOf(node)).announced
  await until(async () => (await announced()).join() === expected, TIMEOUT).catch(() => {})

  return announced()
}

function openTo (node: Peer, peer: string): number {
  return node.count({ event: 'connected', direction: 'outbound', peer }) - node.count({ event: 'disconnected', direction: 'outbound', peer })
}

/**
 * - The peers' AutoNAT dials the node back from ports that it has sent nothing to,
 * and so does a stranger: only a full cone lets them in, and who forwards the port
 * - With a peer of AutoNAT v1, which dials back an address that it is connected to
 * by closing that connection, the address is kept back (`Observed`)
 * - Without AutoNAT nobody verifies it, and what is not verified is not announced
 * - AutoNAT v2 asks a peer when it connects. So a new address needs some peers that connect
 */
function expectedOf ([kind, autonat]: Setting, peers: number, n: number): Found {
  const isReachable = kind === 'full-cone' || kind === 'forwarded'
  const isVerified = isReachable && autonat === 'v2'

  return {
    announced: isVerified ? [addressOf(n)] : [],
    isReachable,
    connections: peers,
    announcedThen: isVerified && peers === MANY ? [addressOf(n + MOVED)] : undefined
  }
}

function addressOf (n: number): string {
  return `/ip4/11.0.0.${n}/tcp/${PORT}`
}

function cells ({ setting, peers, expected, found, after }: Row): string[] {
  return [
    ...setting,
    `${peers}`,
    listed(expected.announced),
    listed(found?.announced),
    inMs(after),
    yesOrNo(expected.isReachable),
    yesOrNo(found?.isReachable),
    `${found?.connections} of ${peers}`,
    listed(expected.announcedThen),
    listed(found?.announcedThen)
  ]
}

function whatIsWrong (expected: Found, found?: Found): string[] {
  return (Object.keys(expected) as Array<keyof Found>)
    .filter(name => `${found?.[name]}` !== `${expected[name]}`)
    .map(name => `${name}: ${found?.[name]}, not ${expected[name]}`)
}

function listed (addresses?: string[]): string {
  return addresses == null ? '' : addresses.join(', ') || 'none'
}

function yesOrNo (is?: boolean): string {
  return is === true ? 'yes' : 'no'
}
