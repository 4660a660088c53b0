import { createRequire } from 'node:module'
import { peerIdFromString } from '@libp2p/peer-id'
import { getNetConfig } from '@libp2p/utils'
import { CODE_P2P, multiaddr } from '@multiformats/multiaddr'
import { DNSADDR, TCP } from '@multiformats/multiaddr-matcher'
import { Command, CommanderError, InvalidArgumentError } from 'commander'
import type { Multiaddr } from '@multiformats/multiaddr'

export interface Options {
  /** Multiaddrs of different TCP endpoints */
  addresses: Multiaddr[]

  /** Dial the public bootstrap nodes of the IPFS network, too */
  publicPeers: boolean

  /** The port to listen on. 0: a free port */
  port: number

  /** How long to wait for each peer, in ms */
  timeout: number

  /** Reuse ports by Winsock, on Windows */
  winsock: boolean
  json: boolean
}

/** The exit code if the arguments are wrong */
export const USAGE_ERROR = 2

const NOTES = `
Exit codes:
  0    all peers were reached, and dialed from the listening port
  1    one was not, or the check could not be made
  2    the arguments are wrong
  130  ended by Ctrl-C (143: by SIGTERM)

Examples:
  reuseport-check
  reuseport-check --public
  reuseport-check --port 4001 /ip4/192.0.2.1/tcp/4001 /dns4/example.com/tcp/4001
  reuseport-check --json /dnsaddr/example.com/p2p/12D3Koo… | jq .verdict

The environment variable LIBP2P_TCP_REUSEPORT=false turns port reuse off. The README of
the package describes the JSON document.`

/**
 * @returns what to do, and the help or the version if the user asked for it
 * @throws {Error} that names the wrong value, with {@link USAGE_ERROR} as its `exitCode`
 */
export function parseArguments (args: string[]): { options: Options, output?: string } {
  let output = ''

  const command = new Command('reuseport-check')
    .description('Starts a node, dials the peers from the port that it listens on, and says which port they were dialed from, which address they saw, and what follows for NATs and hole punching.')
    .argument('[multiaddr...]', 'the peers; without any, two are started on this machine', toAddresses)
    .option('--public', 'dial the public bootstrap nodes of the IPFS network')
    .option('--port <number>', 'listen on this port; 0 is a free one', toPort, 0)
    .option('--timeout <seconds>', 'how long to wait for each peer', toSeconds, 10)
    .option('--winsock', 'reuse ports by Winsock (Windows only, needs koffi or Node 26.9)')
    .option('--json', 'print the result as one JSON document')
    .version(createRequire(import.meta.url)('reuseport-check/package.json').version, '--version', 'print the version')
    .helpOption('-h, --help', 'print this')
    .addHelpText('after', NOTES)
    .exitOverride()
    .configureOutput({ writeOut: text => { output += text }, outputError: () => {} })

  try {
    command.parse(args, { from: 'user' })
  } catch (err: any) {
    if (!(err instanceof CommanderError) || err.exitCode !== 0) {
      throw Object.assign(new Error(err.message.replace(/^error: /, '')), { exitCode: USAGE_ERROR })
    }
  }

  const { public: publicPeers = false, port, timeout, winsock = false, json = false } = command.opts()
  const [addresses = []] = command.processedArgs

  return { options: { addresses, publicPeers, port, timeout: timeout * 1_000, winsock, json }, output: output === '' ? undefined : output }
}

/** These options work even if the other arguments are wrong */
export function wantsJson (args: string[]): boolean {
  return args.slice(0, args.includes('--') ? args.indexOf('--') : undefined).includes('--json')
}

function toPort (text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535) {
    throw new InvalidArgumentError('It must be a number from 0 to 65535.')
  }

  return Number(text)
}

function toSeconds (text: string): number {
  const seconds = /^\d*\.?\d+$/.test(text) ? Number(text) : NaN

  if (!(seconds > 0 && seconds <= 3_600)) {
    throw new InvalidArgumentError('It must be a number of seconds, more than 0 and at most 3600.')
  }

  return seconds
}

/** The address without the id of the peer. A /dnsaddr keeps it, as many peers may share one */
export function endpointOf (ma: Multiaddr): string {
  return (DNSADDR.exactMatch(ma) ? ma : ma.decapsulateCode(CODE_P2P)).toString()
}

/**
 * Adds an address to the earlier ones, unless it is among them. There can't be two connections
 * from one port to the same address
 */
function toAddresses (text: string, before: Multiaddr[] = []): Multiaddr[] {
  const ma = toAddress(text)

  return before.some(other => endpointOf(other) === endpointOf(ma)) ? before : [...before, ma]
}

function toAddress (text: string): Multiaddr {
  let ma: Multiaddr

  try {
    ma = multiaddr(text)
    ma.getComponents().filter(({ code }) => code === CODE_P2P).forEach(({ value = '' }) => peerIdFromString(value))
  } catch (err: any) {
    throw new InvalidArgumentError(`It is not a multiaddr: ${err.message}`)
  }

  // libp2p looks up the addresses of this name
  if (DNSADDR.exactMatch(ma)) {
    return ma
  }

  // a relayed connection or a unix socket has no port to show
  if (!TCP.exactMatch(ma)) {
    throw new InvalidArgumentError('It must be a TCP address, like /ip4/192.0.2.1/tcp/4001 or /dns/example.com/tcp/4001, and lead to the peer itself.')
  }

  if (getNetConfig(ma).port === 0) {
    throw new InvalidArgumentError('Port 0 can not be dialed.')
  }

  return ma
}
