import { once } from 'node:events'
import net from 'node:net'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import type { Identify } from '@libp2p/identify'
import type { Libp2p } from '@libp2p/interface'
import type { Ping } from '@libp2p/ping'
import type { Libp2pOptions } from 'libp2p'

export type Node = Libp2p<{ identify: Identify, ping: Ping }>

export interface NodeOptions {
  transport: NonNullable<Libp2pOptions['transports']>[number]

  /** The multiaddrs to listen on */
  listen: string[]

  /** How long a dial may take, in ms */
  timeout?: number
}

export async function startNode ({ transport, listen, timeout }: NodeOptions): Promise<Node> {
  return createLibp2p({
    addresses: { listen },
    transports: [transport],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: { addressDialTimeout: timeout },
    // peers allow one ping at a time, so only ask-peer.ts pings
    connectionMonitor: { enabled: false },
    services: {
      // ask-peer.ts runs identify itself, so that a missing answer has a reason
      identify: identify({ runOnConnectionOpen: false }),
      ping: ping()
    }
  })
}

export const EVERYWHERE = ['0.0.0.0', '::']
export const THIS_MACHINE = ['127.0.0.1', '::1']

/**
 * The multiaddrs to listen on, except those of an IP version that this machine does not
 * have.
 *
 * This is found out by trying. Interfaces may list IPv6 addresses that can't be used, and
 * libp2p continues without IPv6 even if only the port is in use there.
 *
 * @throws {Error} the system's error, if the port is taken or not permitted
 */
export async function listenAddresses (hosts: string[], port: number): Promise<string[]> {
  const addresses: string[] = []

  for (const host of hosts) {
    const server = net.createServer()

    try {
      await once(server.listen({ host, port, ipv6Only: true }), 'listening')
      addresses.push(`/ip${net.isIP(host)}/${host}/tcp/${port}`)
    } catch (err: any) {
      if (err.code === 'EADDRINUSE' || err.code === 'EACCES') {
        throw err
      }
    } finally {
      server.close()
    }
  }

  return addresses
}
