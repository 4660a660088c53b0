import { markdownTable } from 'markdown-table'
import pMap from 'p-map'
import { inMs, print } from '../kit/print.ts'
import { createLab } from '../lab/lab.ts'
import type { AutonatName, DiscoveringPeer, TransportName } from './discovering-peer.ts'
import type { PublicPeer } from './public-peer.ts'
import type { Script } from '../kit/processes.ts'
import type { Lab } from '../lab/lab.ts'
import type { NatKind } from '../lab/nat-rules.ts'

/**
 * One way, in ms
 */
const LATENCY = 20

const KINDS: NatKind[] = ['full-cone', 'port-restricted', 'symmetric']
const AUTONATS: AutonatName[] = ['v2', 'v1', 'none']

/**
 * What a forwarded port makes of a symmetric NAT: everybody can dial it, at an address that
 * nobody observes
 */
const FORWARDED: NatKind[] = ['symmetric', 'forwarded']

/**
 * The router of this machine gets another address, that of its number and this
 */
const MOVED = 100

/**
 * How many public peers the node dials. The fourth is the last that it takes
 */
const PEERS = [5, 8]

/**
 * js-libp2p's AutoNAT counts what is in the same /8 as one network, so each public
 * peer is in one of its own: 12.0.0.1, 13.0.0.1 and so on
 */
const FIRST_NETWORK = 12

/**
 * What the first machine behind a NAT is called in its address
 */
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

/**
 * How many nodes learn their address at the same time
 */
const CONCURRENCY = 6

const COLUMNS = ['NAT', 'AutoNAT', 'peers', 'expected', 'announced', 'after', 'a stranger: expected', 'connects', 'connections left', 'address changed: announced']

interface Row {
  kind: NatKind
  autonat: AutonatName
  peers: number

  /**
   * Where it can be reached, if at all, and where after the address of its NAT has changed
   */
  external: string
  moved: string
}

interface Found {
  /**
   * The public addresses that were announced, and how long it took since four peers
   * had told where they see the node, in ms
   */
  announced: { addresses: string[], after?: number }

  /**
   * Could a peer that the node has never dialed open a connection to it?
   */
  isReachable: boolean

  /**
   * How many of those that the node has opened are still open
   */
  connectionsLeft: number

  /**
   * The public addresses that were announced after the address of the NAT had changed
   */
  announcedThen: string[]
}

/**
 * A node behind a NAT dials public peers, which tell it where they see it, and
 * AutoNAT asks them whether it can be dialed there. Returns what is wrong. Only
 * `reuseportTcp` has something to live up to. With `onlyForwarded` only the two NATs that
 * a forwarded port tells apart are played
 */
export async function testDiscovery (transport: TransportName, onlyForwarded: boolean): Promise<string[]> {
  print(`Nodes with ${transport} behind NATs learn their public address. This takes a minute`, '')

  const lab = createLab({ latency: LATENCY, isWholeInternet: true })
  const forwarded = FORWARDED.map(kind => ({ kind, autonat: AUTONATS[0] }))
  const others = KINDS.flatMap(kind => AUTONATS.map(autonat => ({ kind, autonat })))
  const rows = [...forwarded, ...(onlyForwarded ? [] : others)]
    .flatMap(row => PEERS.map(peers => ({ ...row, peers })))
    .map((row, n): Row => ({ ...row, external: addressOf(FIRST_MACHINE + n), moved: addressOf(FIRST_MACHINE + n + MOVED) }))
  const cells: string[][] = []
  const failures: string[] = []

  try {
    const [stranger, ...publicPeers] = await startPublicPeers(lab, Math.max(...PEERS) + 1)
    const addresses = await Promise.all(publicPeers.map(async peer => peer.ask('address')))

    await pMap(rows, async (row, n) => {
      const { kind, autonat, peers } = row

      try {
        const found = await discover(lab, transport, FIRST_MACHINE + n, row, addresses.slice(0, peers), stranger)
        cells[n] = cellsOf(row, found)
        failures.push(...whatFailed(row, found).map(failure => `Failed with ${kind}, AutoNAT ${autonat}, ${peers} peers: ${failure}`))
      } catch (err: any) {
        cells[n] = [kind, autonat, `${peers}`, err.message]
        failures.push(`Failed with ${kind}, AutoNAT ${autonat}, ${peers} peers: ${err.message}`)
      }
    }, { concurrency: CONCURRENCY })
  } finally {
    await lab.stop()
  }

  print(markdownTable([COLUMNS, ...cells]), '')

  return transport === 'reuseportTcp' ? failures : []
}

/**
 * Each in a machine of its own
 */
async function startPublicPeers (lab: Lab, count: number): Promise<Array<Script<PublicPeer>>> {
  return Promise.all(Array.from({ length: count }, async (_, i) => {
    const address = `${FIRST_NETWORK + i}.0.0.1`
    const machine = await lab.host(`${address}/8`)

    return machine.start<PublicPeer>(new URL('./public-peer.ts', import.meta.url), `/ip4/${address}/tcp/${PORT}`)
  }))
}

async function discover (lab: Lab, transport: TransportName, n: number, row: Row, addresses: string[], stranger: Script<PublicPeer>): Promise<Found> {
  const { kind, autonat, external, moved } = row
  const machine = await lab.hostBehind(kind, n)
  const node = machine.start<DiscoveringPeer>(new URL('./discovering-peer.ts', import.meta.url), transport, autonat, `/ip4/0.0.0.0/tcp/${PORT}`)

  try {
    await node.ask('dial', addresses)

    const found = {
      announced: await node.ask('announced', [external], TIMEOUT),
      isReachable: await stranger.ask('canDial', `${external}/p2p/${await node.ask('id')}`),
      connectionsLeft: await node.ask('connectionsLeft', REST),
      announcedThen: []
    }

    if (found.announced.addresses.length === 0) {
      return found
    }

    await lab.roam(machine).renumber(n + MOVED)
    await node.ask('hangUp')
    await node.ask('dial', addresses)

    return { ...found, announcedThen: (await node.ask('announced', [moved], TIMEOUT)).addresses }
  } finally {
    await node.stop()
  }
}

/**
 * - The peers' AutoNAT dials the node back from ports that it has sent nothing to,
 * and so does a stranger: only a full cone lets them in, and who forwards the port
 * - With a peer of AutoNAT v1, which dials back an address that it is connected to
 * by closing that connection, the address is kept back (`Observed`)
 * - Without AutoNAT nobody verifies it, and what is not verified is not announced
 */
function expectedOf ({ kind, autonat, external, moved, peers }: Row): { addresses: string[], then: string[], isReachable: boolean, connections: number } {
  const isReachable = kind === 'full-cone' || kind === 'forwarded'
  const [addresses, then] = isReachable && autonat === 'v2' ? [[external], [moved]] : [[], []]

  return { addresses, then, isReachable, connections: peers }
}

function addressOf (n: number): string {
  return `/ip4/11.0.0.${n}/tcp/${PORT}`
}

function cellsOf (row: Row, { announced, isReachable, connectionsLeft, announcedThen }: Found): string[] {
  const expected = expectedOf(row)

  return [
    row.kind,
    row.autonat,
    `${row.peers}`,
    listed(expected.addresses),
    listed(announced.addresses),
    inMs(announced.after),
    yesOrNo(expected.isReachable),
    yesOrNo(isReachable),
    `${connectionsLeft} of ${expected.connections}`,
    listed(announcedThen)
  ]
}

function whatFailed (row: Row, { announced, isReachable, connectionsLeft, announcedThen }: Found): string[] {
  const expected = expectedOf(row)

  return [
    ...(announced.addresses.join() === expected.addresses.join() ? [] : [`announced within ${TIMEOUT} ms: ${listed(announced.addresses)}, not ${listed(expected.addresses)}`]),
    ...(announcedThen.join() === expected.then.join() ? [] : [`announced within ${TIMEOUT} ms after the address had changed: ${listed(announcedThen)}, not ${listed(expected.then)}`]),
    ...(isReachable === expected.isReachable ? [] : [`a stranger ${isReachable ? 'connects' : 'does not connect'}`]),
    ...(connectionsLeft === expected.connections ? [] : [`${connectionsLeft} of ${expected.connections} connections left`])
  ]
}

function listed (addresses: string[]): string {
  return addresses.length === 0 ? 'none' : addresses.join(', ')
}

function yesOrNo (is: boolean): string {
  return is ? 'yes' : 'no'
}
