import { once } from 'node:events'
import net from 'node:net'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { reuseportTcp } from '../index.ts'
import { OBSERVERS_NEEDED } from './verdict.ts'
import type { ReuseportTcpTransport } from '../index.ts'
import type { Identify } from '@libp2p/identify'
import type { Libp2p } from '@libp2p/interface'
import type { Ping } from '@libp2p/ping'

export type Node = Libp2p<{ identify: Identify, ping: Ping }>

export interface StartedNode {
  node: Node
  transport: ReuseportTcpTransport
}

/**
 * @param listen - multiaddrs
 * @param dialTimeout - how long a dial may take, in ms
 */
export async function startNode (listen: string[], dialTimeout?: number): Promise<StartedNode> {
  const createTransport = reuseportTcp({ observedAddressThreshold: OBSERVERS_NEEDED })
  let transport: ReuseportTcpTransport | undefined

  const node = await createLibp2p({
    addresses: { listen },
    transports: [components => {
      transport = createTransport(components)

      return transport
    }],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: { addressDialTimeout: dialTimeout },
    // peers allow one ping at a time, and that is to be ours
    connectionMonitor: { enabled: false },
    services: {
      // by hand, in ask-peer.ts: that way an answer that does not come has a reason
      identify: identify({ runOnConnectionOpen: false }),
      ping: ping()
    }
  })

  if (transport == null) {
    throw new Error('libp2p did not create the transport')
  }

  return { node, transport }
}

export const EVERYWHERE = ['0.0.0.0', '::']
export const THIS_MACHINE = ['127.0.0.1', '::1']

/**
 * The multiaddrs to listen on, without those of an IP version that this machine
 * does not have.
 *
 * Found out by trying: interfaces may list IPv6 addresses that can't be used, and
 * libp2p goes on without IPv6 even if only the port is taken there.
 *
 * @throws {Error} if the port can't be listened on
 */
export async function listenAddresses (hosts: string[], port: number): Promise<string[]> {
  const found = await Promise.all(hosts.map(async host => await canListen(host, port) ? [toAddress(host, port)] : []))

  return found.flat()
}

const NOT_ALLOWED: Record<string, string> = {
  EADDRINUSE: 'it is in use',
  EACCES: 'that is not permitted'
}

async function canListen (host: string, port: number): Promise<boolean> {
  const server = net.createServer()

  try {
    server.listen({ host, port, ipv6Only: true })
    await once(server, 'listening')

    return true
  } catch (err: any) {
    if (err.code in NOT_ALLOWED) {
      throw new Error(`Can not listen on port ${port} of ${host}: ${NOT_ALLOWED[err.code]} (${err.code})`)
    }

    return false
  } finally {
    server.close()
  }
}

function toAddress (host: string, port: number): string {
  return `/ip${net.isIP(host)}/${host}/tcp/${port}`
}
