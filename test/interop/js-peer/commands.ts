import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { peerIdFromString } from '@libp2p/peer-id'
import { isPrivate } from '@libp2p/utils'
import { CODE_P2P, multiaddr } from '@multiformats/multiaddr'
import { Circuit } from '@multiformats/multiaddr-matcher'
import { isRelayed, relayedAddress } from '../../kit/addresses.ts'
import { echo } from '../../kit/echo.ts'
import { tell } from './events.ts'
import { ifOurs } from './node.ts'
import type { Node } from './node.ts'
import type { Connection } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

/** In ms */
const TIMEOUT = 15_000

type Fields = Record<string, unknown>

/** A command and the event that answers it: `name` when it succeeded */
interface Command {
  event: string
  failure: string
  run(node: Node, args: string[]): Promise<Fields>

  /** Of both events */
  describe(args: string[]): Fields
}

const COMMANDS: Record<string, Command> = {
  dial: {
    event: 'dialed',
    failure: 'dial-failed',
    describe: ([address]) => ({ address }),
    async run (node, [address, at]) {
      const target = multiaddr(address)
      const start = at == null ? Date.now() : Number(at)
      await delay(start - Date.now())
      await node.dial(target, { signal: AbortSignal.timeout(TIMEOUT) })

      return { ms: Date.now() - start }
    }
  },
  reserve: {
    event: 'reserved',
    failure: 'reserve-failed',
    describe: () => ({}),
    async run (node, [relay]) {
      // it may have been told to listen there from the start
      if (!node.getMultiaddrs().some(ma => ma.toString().startsWith(`${relay}/p2p-circuit`))) {
        await node.services.listening.on(multiaddr(`${relay}/p2p-circuit`))
      }

      return { address: await relayedAddress(node, TIMEOUT, relay) }
    }
  },
  state: {
    event: 'state',
    failure: 'state',
    describe: () => ({}),
    async run (node) {
      const dcutr = ifOurs(node)

      return {
        announced: publicOf(node.getMultiaddrs()),
        candidates: publicOf(dcutr?.candidates() ?? []),
        mappings: Object.values(dcutr?.natMappings() ?? {})
      }
    }
  },
  echo: {
    event: 'echoed',
    failure: 'echo-failed',
    describe: ([peer, bytes]) => ({ peer, bytes: Number(bytes) }),
    async run (node, [peer, bytes]) {
      const connections = connectionsTo(node, peer)
      const connection = connections.find(connection => !isRelayed(connection)) ?? connections[0]

      if (connection == null) {
        throw new Error('Not connected')
      }

      const start = Date.now()
      await echo(connection, randomBytes(Number(bytes)), AbortSignal.timeout(TIMEOUT))

      return { ms: Date.now() - start, relayed: isRelayed(connection) }
    }
  },
  close: {
    event: 'closed',
    failure: 'closed',
    describe: ([peer]) => ({ peer }),
    async run (node, [peer]) {
      await Promise.all(connectionsTo(node, peer).map(async connection => connection.close()))

      return {}
    }
  },
  abort: {
    event: 'closed',
    failure: 'closed',
    describe: ([peer]) => ({ peer }),
    async run (node, [peer]) {
      connectionsTo(node, peer).forEach(connection => { connection.abort(new Error('Asked to')) })

      return {}
    }
  }
}

export async function runCommand (node: Node, line: string): Promise<void> {
  const [name, ...args] = line.trim().split(/\s+/)
  const command = COMMANDS[name]

  if (command == null) {
    process.stderr.write(`There is no command ${name}\n`)
    return
  }

  const { event, failure, describe, run } = command

  try {
    tell({ event, ...describe(args), ...await run(node, args) })
  } catch (err: any) {
    tell({ event: failure, ...describe(args), error: `${err.message}` })
  }
}

/** The public addresses that are not relayed ones, without the peer id */
function publicOf (addresses: Multiaddr[]): string[] {
  return addresses.filter(ma => !Circuit.matches(ma) && !isPrivate(ma)).map(ma => ma.decapsulateCode(CODE_P2P).toString())
}

function connectionsTo (node: Node, peer: string): Connection[] {
  return node.getConnections(peerIdFromString(peer))
}
