import { parseArgs } from 'node:util'
import { peerIdFromString } from '@libp2p/peer-id'
import { CODE_P2P, multiaddr } from '@multiformats/multiaddr'
import { Circuit, DNSADDR, TCP } from '@multiformats/multiaddr-matcher'
import { parseDialAddr } from '../address.ts'
import type { Multiaddr } from '@multiformats/multiaddr'

export interface Options {
  /**
   * Multiaddrs in their normal form, none of which are the same TCP endpoint
   */
  addresses: string[]

  /**
   * To listen on; 0 is a free one
   */
  port: number

  /**
   * How long to wait for each peer, in ms
   */
  timeout: number
  json: boolean
  help: boolean
  version: boolean
}

/**
 * The command was called in a way that it does not understand
 */
export class UsageError extends Error {
  constructor (message: string) {
    super(message)
    this.name = 'UsageError'
  }
}

const MAX_PORT = 65_535

/**
 * In seconds
 */
const MAX_TIMEOUT = 3_600

/**
 * @throws {UsageError} that names the value at fault
 */
export function parseOptions (args: string[]): Options {
  const { values, positionals } = split(args)

  return {
    addresses: withoutDuplicates(positionals.map(parseAddress)).map(ma => ma.toString()),
    port: parsePort(values.port),
    timeout: parseSeconds(values.timeout) * 1_000,
    json: values.json,
    help: values.help,
    version: values.version
  }
}

/**
 * Can be answered even if the rest of the arguments makes no sense
 */
export function wantsJson (args: string[]): boolean {
  return args.slice(0, args.includes('--') ? args.indexOf('--') : undefined).includes('--json')
}

// eslint-disable-next-line @typescript-eslint/explicit-function-return-type
function split (args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        port: { type: 'string', default: '0' },
        timeout: { type: 'string', default: '10' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
        version: { type: 'boolean', default: false }
      }
    })
  } catch (err: any) {
    throw new UsageError(explain(err.message, args))
  }
}

/**
 * Node's messages go on about what else could have been meant
 */
function explain (message: string, args: string[]): string {
  const [, option] = /^Option '(--\w+) <value>' argument missing|^Option '(--\w+)' argument is ambiguous/.exec(message)?.filter(group => group != null) ?? []

  if (option == null) {
    return message.split('. ')[0]
  }

  const value = args[args.indexOf(option) + 1]

  return value == null ? `${option} needs a value` : `${option} can not be '${value}'`
}

function parsePort (text: string): number {
  const port = /^\d+$/.test(text) ? Number(text) : NaN

  if (!(port <= MAX_PORT)) {
    throw new UsageError(`--port must be a number from 0 to ${MAX_PORT}, not '${text}'`)
  }

  return port
}

function parseSeconds (text: string): number {
  const seconds = /^\d*\.?\d+$/.test(text) ? Number(text) : NaN

  if (!(seconds > 0 && seconds <= MAX_TIMEOUT)) {
    throw new UsageError(`--timeout must be a number of seconds, more than 0 and at most ${MAX_TIMEOUT}, not '${text}'`)
  }

  return seconds
}

/**
 * TCP addresses, and /dnsaddr, behind which there may be some: for anything else
 * there is no port to look at
 */
function parseAddress (text: string): Multiaddr {
  let ma: Multiaddr

  try {
    ma = multiaddr(text)
    ma.getComponents().filter(({ code }) => code === CODE_P2P).forEach(({ value = '' }) => peerIdFromString(value))
  } catch (err: any) {
    throw new UsageError(`'${text}' is not a multiaddr: ${err.message}`)
  }

  if (Circuit.matches(ma)) {
    throw new UsageError(`'${text}' leads through a relay: only a direct connection shows from which port it was dialed`)
  }

  if (text.startsWith('/unix/')) {
    throw new UsageError(`'${text}' is a unix socket: it has no port`)
  }

  // libp2p looks up what is behind it
  if (DNSADDR.exactMatch(ma)) {
    return ma
  }

  if (!TCP.exactMatch(ma)) {
    throw new UsageError(`'${text}' is not a TCP address, like /ip4/192.0.2.1/tcp/4001 or /dns/example.com/tcp/4001`)
  }

  try {
    parseDialAddr(ma)
  } catch (err: any) {
    throw new UsageError(err.message)
  }

  return ma
}

/**
 * There can't be two connections from one port to the same address. Behind one
 * /dnsaddr there may be many peers
 */
function withoutDuplicates (addresses: Multiaddr[]): Multiaddr[] {
  const found = new Map<string, Multiaddr>()

  for (const ma of addresses) {
    const key = (DNSADDR.exactMatch(ma) ? ma : ma.decapsulateCode(CODE_P2P)).toString()

    if (!found.has(key)) {
      found.set(key, ma)
    }
  }

  return [...found.values()]
}
